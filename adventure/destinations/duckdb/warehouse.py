"""The embedded warehouse: one DuckDB file, loaded from a folder stage."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from adventure.core.clock import utc_now
from adventure.core.errors import StageDamaged
from adventure.core.log import get_logger
from adventure.core.manifest import MANIFEST, Window
from adventure.core.row_text import RowColumn
from adventure.core.settings import Settings
from adventure.core.stage import damaged_windows
from adventure.core.streams import Stream
from adventure.destinations.common import records
from adventure.destinations.common.build import SCOPES, Scope, fingerprint, run_dbt_build, target_dir
from adventure.destinations.common.builds import needed_scope, read_history_stamp, remember_build
from adventure.destinations.common.ledger import is_loaded
from adventure.destinations.duckdb.columns import quoted
from adventure.destinations.duckdb.connection import connect, holding, reading, released_by_dbt
from adventure.destinations.duckdb.key_text import document_moment, part, raw_table, rejected_key
from adventure.destinations.duckdb.lateness import lateness
from adventure.destinations.duckdb.load import columns_of, load_window
from adventure.destinations.duckdb.publish import publish
from adventure.destinations.duckdb.report import publish_report
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.staged import copy_staged
from adventure.destinations.duckdb.versions import copy_versions, open_copy
from adventure.destinations.warehouse import Copied, Costs, Moved, RemovedWindow, StreamTotals, TaskRun, Versions

log = get_logger()


class DuckDBWarehouse:
    """See `Warehouse`. Nothing stays open between two calls."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = settings.duckdb_path
        self._stage = FolderStage(settings.stage_dir)
        self._dbt_target = target_dir(settings)
        self.create_tables()

    def create_tables(self) -> None:
        """Makes what is missing."""
        with connect(self._path) as connection:
            for tables in ("raw_tables.sql", "history_tables.sql"):
                connection.execute(Path(__file__).with_name(tables).read_text(encoding="utf-8"))

    def load(self, stream: Stream) -> Moved:
        """Loads what is staged and not in the ledger, oldest window first; a damaged one keeps none from it."""
        windows = self._stage.windows(stream.stage)
        damaged = damaged_windows(self._stage, stream)
        rows = files = 0
        if windows:
            with connect(self._path) as connection:
                ledger = records.read_ledger(reading(connection), stream.stage, [window.id for window in windows])
                if not columns_of(connection, stream):
                    # What only deletes has no types to make a table of: it waits for the windows that have.
                    windows.sort(key=lambda window: not window.columns)
                for window in windows:
                    if window.stream != stream.name or is_loaded(window, ledger):
                        continue
                    if window.deletes and not window.columns and not columns_of(connection, stream):
                        continue
                    try:
                        moved = load_window(connection, stream, self._stage, window)
                    except StageDamaged as error:
                        # Unless somebody removed it meanwhile, as `adventure stage remove` does.
                        if self._stage.path(window, MANIFEST).exists():
                            damaged.append(error)
                        continue
                    rows, files = rows + moved.rows, files + moved.files
                    log.info(
                        f"{stream.name}: loaded {window.stage}/{window.id} ({moved.rows:,} rows)",
                        stream=stream.name,
                        window=window.id,
                        rows=moved.rows,
                    )
        for other in damaged[1:]:
            log.error(f"{stream.name}: {other}", stream=stream.name)
        if damaged:
            raise damaged[0]
        return Moved(rows, files)

    def cleanup(self, stream: Stream) -> Moved:
        """Removes the windows that are loaded whole, and nothing else."""
        windows = self._stage.windows(stream.stage)
        loaded = self.loaded(windows)
        rows = files = 0
        for window in windows:
            # None are left to remove where another cleanup was faster.
            if window.id in loaded and (removed := self._stage.remove(window)):
                rows, files = rows + window.rows, files + removed
        return Moved(rows, files)

    def loaded(self, windows: Iterable[Window]) -> set[str]:
        """The ids of those windows that are loaded whole."""
        return records.loaded(self.query, windows)

    def load_is_due(self) -> bool:
        """Always: only a look at the stage tells whether there is something."""
        return True

    def build(self, scope: Scope | None = None) -> str:
        """Runs dbt in this process, which alone has the file open meanwhile."""
        begun_at, project = utc_now(), fingerprint(self._settings)
        history_loaded_at = read_history_stamp(self.query)
        needed = needed_scope(self.query, project, today=begun_at.date())
        built = max(needed, scope or needed, key=SCOPES.index)
        environment = {"ADVENTURE_DUCKDB_PATH": str(self._path.resolve())}
        with holding(self._path), released_by_dbt():
            message = run_dbt_build(self._settings, built, target="duckdb", environment=environment)
        if built != "increment":
            remember_build(self.query, begun_at, project, history_loaded_at)
        return message

    def build_is_due(self) -> bool:
        """Whether sales or a history were loaded, or a day has begun, since the last build that succeeded."""
        return records.build_is_due(self.query)

    def publish(self) -> int:
        """Replaces the dashboard's copy."""
        with connect(self._path) as connection:
            return publish(connection, self._settings.published_path, manifest=self._dbt_target / "manifest.json")

    def publish_report(self, streams: Sequence[Stream], *, every: float | None) -> None:
        """Replaces what the dashboard says of the pipeline."""
        with connect(self._path) as connection:
            publish_report(
                connection,
                self._settings.report_path,
                streams=streams,
                stage=self._stage,
                dbt_target=self._dbt_target,
                every=every,
            )

    def publish_is_due(self) -> bool:
        """Whether a build has succeeded since the last publish that succeeded."""
        return records.publish_is_due(self.query)

    def record_removal(self, window: RemovedWindow) -> None:
        """See `Warehouse`."""
        records.record_removal(self.query, window)

    def record(self, run: TaskRun) -> None:
        """Adds a run to the history of the tasks, and drops what is older than RUNS_KEPT runs of its kind."""
        records.record(self.query, run)

    def last_runs(self) -> list[TaskRun]:
        """The last run of each task, in the order in which they ended."""
        return records.last_runs(self.query)

    def failures_in_a_row(self) -> dict[str, tuple[int, str]]:
        """See `Warehouse`."""
        return records.failures_in_a_row(self.query)

    def outstanding_rejects(self, stream: Stream, since: datetime) -> int:
        """See `Warehouse`."""
        with connect(self._path) as connection:
            held = columns_of(connection, stream)
            table = raw_table(stream) if held else ""
            return records.outstanding_rejects(reading(connection), stream, table, rejected_key(stream, held), since)

    def totals(self, streams: Iterable[Stream]) -> dict[str, StreamTotals]:
        """What the ledger says, by stream."""
        return records.totals(self.query, streams)

    def living_keys(self, stream: Stream) -> int:
        """See `Warehouse`."""
        table = ".".join(map(quoted, stream.raw_table.split(".", 1)))
        keys = ", ".join(key_field(stream, key) for key in stream.key)
        cursor = key_field(stream, stream.cursor)
        if stream.documents:
            cursor = f"{document_moment(stream.cursor)} at time zone 'UTC'"
        return records.living_keys(self.query, table, keys, cursor)

    def costs(self) -> Costs | None:
        """None: nothing is metered."""
        return None

    def copied(self, streams: Sequence[Stream]) -> list[Copied] | None:
        """None: the ledger is all that there is."""
        return None

    @contextmanager
    def versions(
        self, stream: Stream, kinds: Sequence[str], rows: Sequence[RowColumn], folder: Path
    ) -> Iterator[Versions]:
        """A copy of them, so that loads go on while it is looked at."""
        copy = folder / "versions.duckdb"
        with connect(self._path) as connection:
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
        """See `Warehouse`."""
        damaged = self._stage.damaged(stream.stage)
        windows = [window for window in self._stage.windows(stream.stage) if window.stream == stream.name]
        passed_over = self.loaded(windows) | set(without)
        waiting = [window for window in windows if window.id not in passed_over]
        are_whole = copy_staged(self._stage.path, waiting, stream, kinds, scratch)
        with connect(self._path) as connection:
            copy_versions(connection, stream, kinds, rows, scratch, suspects=True)
        return are_whole and not damaged

    def lateness(self, stream: Stream, kinds: Sequence[str], bounds: Sequence[int]) -> dict[int, int]:
        """See `Warehouse`."""
        with connect(self._path) as connection:
            return lateness(connection, stream, kinds, bounds)

    def query(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Reads."""
        with connect(self._path) as connection:
            return connection.execute(statement, list(values)).fetchall()


def key_field(stream: Stream, key: str) -> str:
    """The key in the raw table: a column, or a field of the document."""
    if not stream.documents:
        return quoted(key)
    return part(key, "document")
