"""The copies that the dashboard reads: small tables only, so that publishing costs the same whatever the history.

Each is written beside the old one and replaces it whole; a reader has either the old or the new.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import orjson

from adventure.errors import WarehouseError
from adventure.faults import Point, reached
from adventure.stage.manifest import utc_now

MARTS = (
    "sales_by_hour",
    "category_sales_by_hour",
    "product_sales_by_day",
    "customers_by_day",
    "support_chats_by_day",
    "campaign_events_by_day",
    "dim_products",
)
"""What is copied, each whole: aggregates and a small dimension."""

_PUBLICATION = """
create table published.publication as
select
    ?::timestamp as built_at,
    (select max(high) from raw_ext.load_history where kind = 'data') as data_as_of
"""


def publish(connection: duckdb.DuckDBPyConnection, target: Path, *, manifest: Path) -> int:
    """Replaces `target`; the number of rows of the marts in it.

    Args:
        manifest: dbt's, which holds the descriptions that the dashboard shows as help.

    Raises:
        WarehouseError: a mart is missing, or a file cannot be read or written.
    """
    rows = 0
    try:
        with replacing(connection, target):
            for mart in MARTS:
                connection.execute(f"create table published.{mart} as from dbt_prod.{mart}")
                found = connection.execute(f"select count(*) from published.{mart}").fetchone()
                rows += int(found[0]) if found else 0
            connection.execute(_PUBLICATION, [utc_now()])
            connection.execute("create table published.descriptions (model varchar, name varchar, text varchar)")
            connection.executemany("insert into published.descriptions values (?, ?, ?)", _descriptions(manifest))
            reached(Point.COPY_WRITTEN)
        reached(Point.PUBLISHED)
    except duckdb.CatalogException as error:
        raise WarehouseError(f"There is nothing to publish yet: {error}", "Run `adventure build` first") from error
    return rows


@contextmanager
def replacing(connection: duckdb.DuckDBPyConnection, target: Path) -> Iterator[None]:
    """An empty database, attached as `published`, that takes the target's place when the block ends well.

    Raises:
        WarehouseError: the file cannot be written.
    """
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        for leftover in (unfinished, unfinished.with_name(f"{unfinished.name}.wal")):
            leftover.unlink(missing_ok=True)
        # ATTACH takes no parameter.
        connection.execute(f"attach '{str(unfinished).replace(chr(39), chr(39) * 2)}' as published (block_size 16384)")
        try:
            yield
        finally:
            connection.execute("detach published")
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(target)
    except OSError as error:
        raise WarehouseError(f"{target} cannot be written: {error.strerror}", "Check space and permissions") from error


def _descriptions(manifest: Path) -> list[tuple[str, str, str]]:
    """Of each mart: its own description (under no name), its columns', and those of the figures made from them."""
    try:
        nodes = orjson.loads(manifest.read_bytes())["nodes"].values()
    except FileNotFoundError as error:
        raise WarehouseError(f"{manifest} is missing, which dbt writes", "Run `adventure build` first") from error
    texts = []
    for node in nodes:
        if node["resource_type"] == "model" and node["name"] in MARTS:
            columns = {name: column["description"] for name, column in node["columns"].items()}
            figures = node["config"]["meta"].get("figures", {})
            for name, text in {"": node["description"], **columns, **figures}.items():
                texts.append((node["name"], name, " ".join(text.split())))
    return texts
