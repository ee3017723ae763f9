"""Where the figures come from: the seam between the pages and what was published for them.

Published are the same tables in two places: two small DuckDB files, or a schema in Snowflake, which the app reads from
within Snowflake or from a laptop. So the questions are the same as well: SQL that both speak, values bound with `?`,
and names that Snowflake reserves quoted and in upper case ("ROWS"), which DuckDB does not mind.
"""

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

import pandas as pd

READS = "ADVENTURE_DASHBOARD_READS"
"""What tells the app where it reads: `files`; `session`, inside Snowflake; or `connection`, from a laptop."""
SALES_PATH = "ADVENTURE_PUBLISHED_PATH"
REPORT_PATH = "ADVENTURE_REPORT_PATH"
HEARTBEAT_PATH = "ADVENTURE_PROCESSOR_HEARTBEAT"
"""Where the processor beats, for an app on a machine that sees it; inside Snowflake there is none."""

Query = Callable[[str, Sequence[object]], pd.DataFrame]
"""Answers a statement with its bound values; decimals stay decimals."""

Identity = tuple[object, ...]


class Copy(Protocol):
    """Something published: what sales look like, or what the pipeline says of itself."""

    @property
    def name(self) -> str:
        """Tells it from others."""

    @property
    def is_metered(self) -> bool:
        """Whether each question costs credits, which the pipeline then says something of."""

    def identity(self) -> Identity | None:
        """What changes with each publication; None when there is none yet."""

    def published_at(self) -> datetime | None:
        """When the newest was published, in naive UTC."""

    def query(self, statement: str, values: Sequence[object] = ()) -> pd.DataFrame:
        """See `Query`.

        Raises:
            WarehouseError: it is damaged, or made by another version of Adventure.
        """


def open_sales() -> Copy:
    """The marts."""
    if _reads_snowflake():
        return _in_snowflake("publication", "built_at", "Run `adventure build`: it publishes them anew")
    return _file(SALES_PATH, "dashboard.duckdb", "Run `adventure build`: it replaces it")


def open_report() -> Copy:
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
def _file(variable: str, default: str, remedy: str) -> Copy:
    from adventure.dashboard.duckdb_copy import DuckDBCopy

    return DuckDBCopy(Path(os.environ.get(variable, f".adventure/{default}")), remedy)


def _in_snowflake(table: str, column: str, remedy: str) -> Copy:
    from adventure.dashboard import snowflake_copy

    connect = snowflake_copy.active if os.environ[READS] == "session" else snowflake_copy.signed_in
    return snowflake_copy.SnowflakeCopy(table, column, remedy, connect)
