"""Loads the history into Snowflake's raw tables: all tables or none.

The files are first read and checked in a temporary DuckDB file, as for DuckDB. Each table is then staged as Parquet and
copied in one transaction that replaces the earlier rows.
"""

import secrets
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import duckdb

from adventure.core.errors import StageDamaged, WarehouseError
from adventure.core.log import get_logger
from adventure.core.private import make_data_dir
from adventure.core.scratch import scratch_folder
from adventure.core.settings import Settings
from adventure.core.sql_text import literal, quoted
from adventure.demo.history.loading import load_files
from adventure.demo.history.tables import RAW_TABLES, RawTable
from adventure.destinations.duckdb.connection import connect
from adventure.destinations.snowflake.budget import Budget
from adventure.destinations.snowflake.credentials import SnowflakeLogin
from adventure.destinations.snowflake.scripts import name_of
from adventure.destinations.snowflake.session import SnowflakeSession
from adventure.destinations.snowflake.stage import SnowflakeStage

log = get_logger()

STAGE = "history_stage"
ROWS_A_FILE = 500_000
_TAG = "adventure:history"


def load(settings: Settings, folder: Path, *, allow_missing: bool) -> None:
    """Replace the history in Snowflake by that of the files; see `adventure.demo.history.load`."""
    raw_tables = HistoryInSnowflake(settings)
    after = raw_tables.last_stamp()
    make_data_dir(settings.data_dir)
    with (
        scratch_folder(settings.unfinished_dir, "history") as scratch,
        connect(scratch / "history.duckdb") as connection,
    ):
        load_files(connection, folder, allow_missing=allow_missing, after=after)
        raw_tables.replace(connection)


class HistoryInSnowflake:
    """The raw tables of the history, accessed with the role that owns them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._owner = SnowflakeLogin.of_loader(settings, role=name_of(settings, "owner_role"))
        self._session = SnowflakeSession(settings, self._owner)
        self._budget = Budget(settings, self._session.execute, self._owner.role)

    def last_stamp(self) -> datetime | None:
        """Return when the history was loaded; None if it was not.

        Raises:
            CreditBudgetReached: the query was not run.
        """
        self._budget.check()
        ((stamp,),) = self._session.execute("select loaded_at from raw_ext.last_history", (), _TAG)
        return stamp if isinstance(stamp, datetime) else None

    def replace(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Replace the rows of all tables by those of the connection.

        Raises:
            CreditBudgetReached: nothing was loaded.
            WarehouseError: Snowflake refused or did not answer. The earlier rows are kept.
            StageDamaged: a staged file was removed or changed. The earlier rows are kept.
        """
        self._budget.check()
        stage = SnowflakeStage(self._settings, self._owner)
        # Remove the files of a load that was killed. If a load runs at the same time, its COPY then finds fewer rows
        # than promised, and it changes nothing.
        stage.discard_unfinished(STAGE)
        load = secrets.token_hex(4)
        try:
            staged = {table: self._stage(connection, stage, load, table) for table in RAW_TABLES}
            self._copy(connection, load, staged)
        finally:
            stage.discard_unfinished(STAGE)

    def _stage(
        self, connection: duckdb.DuckDBPyConnection, stage: SnowflakeStage, load: str, table: RawTable
    ) -> dict[str, int]:
        """Stage the table's rows, and return the number of rows by file."""
        files: dict[str, int] = {}
        (rows,) = connection.execute(f"select count(*) from {table.location}").fetchone() or (0,)
        with scratch_folder(self._settings.unfinished_dir, "history") as folder:
            for number, begin in enumerate(range(0, rows, ROWS_A_FILE)):
                file = folder / f"part-{number:05}.parquet"
                columns = [
                    "cast(raw as varchar) as raw" if name == "raw" else quoted(name)
                    for name in _columns(connection, table)
                ]
                connection.execute(
                    f"copy (select {', '.join(columns)} from {table.location} order by rowid"
                    f" limit {ROWS_A_FILE} offset {begin}) to {literal(str(file))} (format parquet, compression zstd)"
                )
                stage.put(STAGE, _window(load, table), file)
                file.unlink()
                files[file.name] = min(ROWS_A_FILE, rows - begin)
        return files

    def _copy(self, connection: duckdb.DuckDBPyConnection, load: str, staged: dict[RawTable, dict[str, int]]) -> None:
        self._session.execute("begin transaction", (), _TAG)
        try:
            for number, (table, files) in enumerate(staged.items(), 1):
                self._session.execute(f"delete from {table.location}", (), _TAG)
                for name, rows in files.items():
                    self._copy_file(_columns(connection, table), table, load, name, rows)
                log.info(
                    f"history: {table.location} has {sum(files.values()):,} rows, {number} of {len(staged)} tables",
                    table=table.location,
                )
            self._session.execute("commit", (), _TAG)
        except BaseException:
            # If the session is lost, so is its transaction.
            with suppress(WarehouseError):
                self._session.execute("rollback", (), _TAG)
            raise

    def _copy_file(self, columns: dict[str, str], table: RawTable, load: str, name: str, rows: int) -> None:
        values = [
            'parse_json($1:"raw"::varchar)' if column == "raw" else f"$1:{quoted(column)}::{_type(kind)}"
            for column, kind in columns.items()
        ]
        found = self._session.execute(
            f"copy into {table.location} ({', '.join(columns)}) from (select {', '.join(values)}"
            f" from @raw_ext.{STAGE}/{_window(load, table)}/{name})"
            " file_format = (type = parquet use_logical_type = true) on_error = abort_statement force = true",
            (),
            _TAG,
        )
        copied = sum(int(row[3]) for row in found if str(row[0]).endswith(name))
        if copied != rows:
            raise StageDamaged(
                f"The history was not loaded: {STAGE}/{_window(load, table)}/{name} gave {copied:,} of {rows:,} rows;"
                " the earlier rows are kept",
                "The stage was changed meanwhile; run the command again",
            )


def _window(load: str, table: RawTable) -> str:
    return f"{load}-{table.name}"


def _columns(connection: duckdb.DuckDBPyConnection, table: RawTable) -> dict[str, str]:
    """Return the table's columns with their DuckDB types."""
    found = connection.execute(f"select column_name, column_type from (describe {table.location})").fetchall()
    return {str(name): str(kind) for name, kind in found}


def _type(kind: str) -> str:
    """Return Snowflake's type for a DuckDB type. Timestamps have no zone, whatever the session's default is."""
    whole = dict.fromkeys(("INTEGER", "BIGINT"), "number(38, 0)")
    return {**whole, "TIMESTAMP": "timestamp_ntz(6)"}.get(kind, kind.lower())
