"""Open the implementation that the settings and the streams name. The only module that knows every kind.

Implementations are imported when they are opened, so that a kind that is not used needs no package and costs no time.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from adventure.dashboard.source import READS, REPORT_PATH, SALES_PATH
from adventure.destinations.published import PublishedDataset

if TYPE_CHECKING:
    from adventure.core.settings import Settings
    from adventure.core.stage import Stage
    from adventure.core.streams import Stream
    from adventure.destinations.warehouse import Warehouse
    from adventure.sources.side import SourceSide
    from adventure.sources.source import Source


def open_source(kind: str, settings: "Settings", *, patience: float | None = None) -> "Source":
    """The source of that kind, connected; see `open_pipeline`.

    Its driver is imported here: a kind that no stream names costs nothing, and `process_once` waits meanwhile anyway.

    Raises:
        SourceError: it does not answer, or refuses.
    """
    if kind == "postgres":
        from adventure.sources.postgres.source import PostgresSource

        return PostgresSource(settings, patience)
    from adventure.sources.mongo.source import MongoSource

    return MongoSource(settings, patience)


@contextmanager
def open_source_side(settings: "Settings", stream: "Stream", *, rows: bool = False) -> "Iterator[SourceSide]":
    """The stream's source, with a connection of its own.

    Args:
        rows: whole rows are compared, not keys and cursors alone.

    Raises:
        SourceError: it does not answer, refuses, or is not what the stream says.
    """
    if stream.source == "postgres":
        from adventure.sources.postgres.reconcile import PostgresSide

        with PostgresSide.open(settings, stream, rows=rows) as postgres:
            yield postgres
        return
    from adventure.sources.mongo.reconcile import MongoSide

    with MongoSide.open(settings, stream, rows=rows) as mongo:
        yield mongo


def open_stage(settings: "Settings") -> "Stage":
    """The stage that goes with the chosen warehouse."""
    if settings.warehouse == "duckdb":
        from adventure.destinations.duckdb.stage import FolderStage

        return FolderStage(settings.stage_dir)
    from adventure.destinations.snowflake.stage import SnowflakeStage

    return SnowflakeStage(settings)


def open_warehouse(settings: "Settings") -> "Warehouse":
    """The chosen warehouse."""
    if settings.warehouse == "duckdb":
        from adventure.destinations.duckdb.warehouse import DuckDBWarehouse

        return DuckDBWarehouse(settings)
    from adventure.destinations.snowflake.warehouse import SnowflakeWarehouse

    return SnowflakeWarehouse(settings)


def open_sales() -> PublishedDataset:
    """The marts."""
    if _reads_snowflake():
        return _in_snowflake("publication", "built_at", "Run `adventure build`: it publishes them anew")
    return _file(SALES_PATH, "dashboard.duckdb", "Run `adventure build`: it replaces it")


def open_report() -> PublishedDataset:
    """What the pipeline says of itself."""
    if _reads_snowflake():
        return _in_snowflake("report", "written_at", "The next run of the tasks replaces it: `adventure tasks run`")
    return _file(REPORT_PATH, "pipeline.duckdb", "The next run of the tasks replaces it: `adventure tasks run`")


def look_every_sec() -> int | None:
    """How often an open page looks for a newer publication by itself.

    Never in Snowflake: a page that somebody left open would keep the warehouse awake, and bill for it.
    """
    return None if _reads_snowflake() else 5


def _reads_snowflake() -> bool:
    return os.environ.get(READS, "files") != "files"


# Either place needs a package that the other one does not have.
def _file(variable: str, default: str, remedy: str) -> PublishedDataset:
    from adventure.destinations.duckdb.published import DuckDBDataset

    return DuckDBDataset(Path(os.environ.get(variable, f".adventure/{default}")), remedy)


def _in_snowflake(table: str, column: str, remedy: str) -> PublishedDataset:
    from adventure.destinations.snowflake import published as snowflake_copy

    connect = snowflake_copy.active if os.environ[READS] == "session" else snowflake_copy.signed_in
    return snowflake_copy.SnowflakeDataset(table, column, remedy, connect)
