"""Publishes the marts and the models with a panel for the dashboard as one DuckDB file.

The published tables are small, so publishing takes the same time whatever the length of the history. The new file is
written beside the old one and replaces it at once, so a reader sees either the old tables or the new ones.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from adventure.core.clock import utc_now
from adventure.core.errors import WarehouseError
from adventure.core.faults import Point, reached
from adventure.core.sql_text import literal, quoted
from adventure.destinations.common.publication import DATA_AS_OF, Rows, described_rows, published_models


def publish(connection: duckdb.DuckDBPyConnection, target: Path, *, dbt_target: Path) -> int:
    """Replace the file `target` and return the number of rows in its models.

    Args:
        dbt_target: dbt's target folder. The dashboard shows the descriptions in its manifest as help.

    Raises:
        WarehouseError: a model is missing, or a file cannot be read or written.
    """
    rows = 0
    models, described = published_models(dbt_target), described_rows(dbt_target)
    try:
        with replacing(connection, target):
            for model in models:
                name = quoted(model)
                connection.execute(f"create table published.{name} as from dbt_prod.{name}")
                found = connection.execute(f"select count(*) from published.{name}").fetchone()
                rows += int(found[0]) if found else 0
            connection.execute(
                f"create table published.publication as select ?::timestamp as built_at, ({DATA_AS_OF}) as data_as_of",
                [utc_now()],
            )
            for table, made in described.items():
                fill(connection, table, made)
            reached(Point.COPY_WRITTEN)
        reached(Point.PUBLISHED)
    except duckdb.CatalogException as error:
        raise WarehouseError(f"There is nothing to publish yet: {error}", "Run `adventure build` first") from error
    return rows


@contextmanager
def replacing(connection: duckdb.DuckDBPyConnection, target: Path, *, block_size: int = 262_144) -> Iterator[None]:
    """Attach an empty database as `published`; it replaces the target when the block ends without an error.

    Args:
        block_size: bytes of a block. Many small tables need a small one; large tables are written faster, and become
            smaller, with DuckDB's own.

    Raises:
        WarehouseError: the file cannot be written.
    """
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        for leftover in (unfinished, unfinished.with_name(f"{unfinished.name}.wal")):
            leftover.unlink(missing_ok=True)
        # ATTACH takes no parameters.
        connection.execute(f"attach {literal(str(unfinished))} as published (block_size {block_size})")
        try:
            yield
        finally:
            connection.execute("detach published")
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(target)
    except OSError as error:
        raise WarehouseError(
            f"{target} cannot be written: {error.strerror}", "Check the free space and the permissions of its folder"
        ) from error


def fill(connection: duckdb.DuckDBPyConnection, table: str, made: Rows) -> None:
    """Create a table of the database `published`. Call it within `replacing`."""
    columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in made.columns.items())
    connection.execute(f"create table published.{table} ({columns})")
    if made.rows:
        # One statement for all rows: each statement takes DuckDB about a millisecond.
        lists = ", ".join(f"unnest(?::{kind}[])" for kind in made.columns.values())
        values = [list(column) for column in zip(*made.rows, strict=True)]
        connection.execute(f"insert into published.{table} select {lists}", values)
