"""The embedded warehouse: one DuckDB file, loaded from a folder stage."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from adventure.core.errors import StageDamaged
from adventure.core.log import get_logger
from adventure.core.row_text import RowColumn
from adventure.core.settings import Settings
from adventure.core.stage import damaged_windows
from adventure.core.streams import Stream
from adventure.destinations.common.build import parse_project, run_dbt_build, target_dir
from adventure.destinations.common.duckdb_dialect import DUCKDB
from adventure.destinations.common.ledger import is_loaded, read_ledger
from adventure.destinations.common.selection import LoadedTables
from adventure.destinations.common.sql_warehouse import SqlWarehouse
from adventure.destinations.common.staged_files import copy_staged
from adventure.destinations.duckdb.adopt import adopt
from adventure.destinations.duckdb.connection import connect, executing, file_lock, released_by_dbt, translating_duckdb
from adventure.destinations.duckdb.load import load_waiting
from adventure.destinations.duckdb.publish import publish
from adventure.destinations.duckdb.raw_table import columns_of
from adventure.destinations.duckdb.replay import Replay
from adventure.destinations.duckdb.report import publish_report
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.versions import copy_versions, open_copy
from adventure.destinations.results import Credits, LoadResult, TaskRun
from adventure.destinations.warehouse import Scope, Versions

log = get_logger()

_RAW_TABLES = Path(__file__).with_name("raw_tables.sql")
_HISTORY_TABLES = Path(__file__).with_name("history_tables.sql")


class DuckDBWarehouse(SqlWarehouse):
    """See `Warehouse`. Each call opens the file and closes it again, except in a block of `reading`."""

    dialect = DUCKDB

    def __init__(self, settings: Settings, retry_for: float | None = None) -> None:
        super().__init__(settings)
        self._path = settings.duckdb_path
        self._retry_for = retry_for
        self._open: duckdb.DuckDBPyConnection | None = None
        self._kept: ExitStack | None = None
        """Closes the file at the end of a block of `reading`."""
        self._stage = FolderStage(settings.stage_dir)
        self._dbt_target = target_dir(settings)
        self._replay = Replay(self._path)
        self.create_tables()

    def execute(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement with values for its question marks and return its rows."""
        with self._connected() as connection:
            return connection.execute(statement, list(values)).fetchall()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Open the file once in the block, for its first statement; its statements read one state."""
        if self._kept:
            yield
            return
        with ExitStack() as self._kept:
            try:
                yield
            finally:
                self._kept = self._open = None

    @contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield the connection that is open, or open one for the block."""
        if self._kept and not self._open:
            self._open = self._kept.enter_context(connect(self._path, self._retry_for))
        if self._open:
            with translating_duckdb(self._path):
                yield self._open
        else:
            with connect(self._path, self._retry_for) as connection:
                yield connection

    def record_runs(self, *runs: TaskRun) -> None:
        """See `SqlTaskHistory`. Opening the file takes longer than the statements, so it is opened once."""
        with self.reading():
            super().record_runs(*runs)

    def create_tables(self) -> None:
        """Create the tables of the pipeline and of the history where they are missing."""
        with self._connected() as connection:
            connection.execute(_RAW_TABLES.read_text(encoding="utf-8"))
            connection.execute(_HISTORY_TABLES.read_text(encoding="utf-8"))

    def adopt(self, stream: Stream, table: str | None) -> int:
        """Copy another table's rows into the stream's raw table, and return their number.

        Raises:
            ConfigError: there is nothing to take over, or it was taken over before.
            WarehouseError: a value fits no column of the raw table.
        """
        with self._connected() as connection:
            return adopt(connection, stream, table, _RAW_TABLES.read_text(encoding="utf-8"))

    def load_is_due(self) -> bool:
        """Return True: only listing the stage shows whether windows wait."""
        return True

    def load(self, stream: Stream) -> LoadResult:
        """Load the staged windows that are not in the ledger, oldest first. A damaged window does not stop the others.

        Raises:
            StageDamaged: a staged file differs from its window.json. All other windows are loaded.
            SchemaDrift: a staged column no longer fits its raw table. The windows before it are loaded.
        """
        windows = self._stage.windows(stream.stage)
        damaged = damaged_windows(self._stage, stream)
        rows = files = 0
        if windows:
            with self._connected() as connection:
                ledger = read_ledger(executing(connection), stream.stage, [window.id for window in windows])
                if not columns_of(connection, stream):
                    # A window with deletes only has no column types to create the table from: load it after the
                    # windows with rows.
                    windows.sort(key=lambda window: not window.columns)
                waiting = [each for each in windows if each.stream == stream.name and not is_loaded(each, ledger)]
                loading = load_waiting(connection, stream, self._stage, waiting)
                for number, (window, result) in enumerate(loading, 1):
                    if isinstance(result, StageDamaged):
                        # The window is not damaged if `adventure stage remove` removed it meanwhile.
                        damaged += [] if self._stage.was_removed(window) else [result]
                        continue
                    rows, files = rows + result.rows, files + result.files
                    log.info(
                        f"{stream.name}: loaded {window.stage}/{window.id} ({result.rows:,} rows), {number:,} of"
                        f" {len(waiting):,} window{'s' if len(waiting) > 1 else ''}",
                        stream=stream.name,
                        window=window.id,
                        rows=result.rows,
                    )
        for other in damaged[1:]:
            log.error(f"{stream.name}: {other}", stream=stream.name)
        if damaged:
            raise damaged[0]
        return LoadResult(rows, files)

    def cleanup(self, stream: Stream) -> LoadResult:
        """Remove exactly the staged windows whose files are all in the ledger with the promised row counts."""
        windows = self._stage.windows(stream.stage)
        loaded = self.loaded(windows)
        rows = files = 0
        for window in windows:
            # `remove` returns 0 where another cleanup has removed the window already.
            if window.id in loaded and (removed := self._stage.remove(window)):
                rows, files = rows + window.rows, files + removed
        return LoadResult(rows, files)

    def run_dbt(self, scope: Scope, tables: LoadedTables) -> str:
        """Run dbt in this process, with the lock that keeps other commands from opening the file."""
        with file_lock(self._path), released_by_dbt():
            return run_dbt_build(
                self._settings, scope, tables, target="duckdb", environment=self._for_dbt(), increments=self._replay
            )

    def read_project(self) -> None:
        """Parse the dbt project ahead of the first build, which then need not. It opens no warehouse file."""
        parse_project(self._settings, target="duckdb", environment=self._for_dbt())

    def _for_dbt(self) -> dict[str, str]:
        return {"ADVENTURE_DUCKDB_PATH": str(self._path.resolve())}

    def publish(self) -> int:
        """Replace the file of the published marts and return the number of their rows."""
        with self._connected() as connection:
            return publish(connection, self._settings.published_path, dbt_target=self._dbt_target)

    def publish_report(self, streams: Sequence[Stream], *, interval: float | None) -> None:
        """Replace the file of the published state of the pipeline.

        Args:
            interval: seconds between two runs of the tasks; None when they are run by hand.
        """
        with self._connected() as connection:
            publish_report(
                connection,
                self._settings.report_path,
                streams=streams,
                stage=self._stage,
                dbt_target=self._dbt_target,
                interval=interval,
            )

    def credits(self) -> Credits | None:
        """Return None: nothing is metered."""
        return None

    @contextmanager
    def versions(
        self, stream: Stream, kinds: Sequence[str], rows: Sequence[RowColumn], folder: Path
    ) -> Iterator[Versions]:
        """Open a copy of the versions, so that loads continue while it is compared."""
        copy = folder / "versions.duckdb"
        with self._connected() as connection:
            copy_versions(connection, stream, kinds, rows, copy, suspects=False)
        with open_copy(copy) as found:
            yield found

    def copy_suspects(
        self,
        stream: Stream,
        kinds: Sequence[str],
        rows: Sequence[RowColumn],
        scratch: Path,
        *,
        without: Collection[str] = (),
    ) -> bool:
        """Copy the stage's and the warehouse's rows of the suspects into the file `scratch`; see `VersionReader`."""
        damaged = self._stage.damaged(stream.stage)
        waiting = self.waiting_windows(self._stage, stream, without)
        are_whole = copy_staged(self._stage.path, waiting, stream, kinds, scratch)
        with self._connected() as connection:
            copy_versions(connection, stream, kinds, rows, scratch, suspects=True)
        return are_whole and not damaged
