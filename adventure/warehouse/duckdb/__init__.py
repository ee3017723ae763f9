"""The embedded warehouse: one DuckDB file, loaded from a folder stage."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from adventure.errors import StageDamaged
from adventure.log import get_logger
from adventure.settings import Settings
from adventure.stage.folder import FolderStage
from adventure.stage.manifest import MANIFEST, Window, utc_now
from adventure.streams import Stream
from adventure.warehouse import RUNS_KEPT, Moved, StreamTotals, TaskRun
from adventure.warehouse.build import SCOPES, Scope, fingerprint, run_dbt_build, target_dir
from adventure.warehouse.duckdb.builds import needed_scope, read_history_stamp, remember_build
from adventure.warehouse.duckdb.connection import connect, holding
from adventure.warehouse.duckdb.lateness import lateness
from adventure.warehouse.duckdb.load import load_window, read_ledger
from adventure.warehouse.duckdb.publish import publish
from adventure.warehouse.duckdb.report import publish_report
from adventure.warehouse.duckdb.versions import copy_staged, copy_versions
from adventure.warehouse.ledger import is_loaded

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
        damaged = self._stage.damaged(stream.stage)
        rows = files = 0
        if windows:
            with connect(self._path) as connection:
                ledger = read_ledger(connection, stream.stage, [window.id for window in windows])
                for window in windows:
                    if window.stream != stream.name or is_loaded(window, ledger):
                        continue
                    try:
                        moved = load_window(connection, stream, self._stage, window)
                    except StageDamaged as error:
                        # Unless somebody removed it, `adventure stage remove --force` for one.
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
        by_stage: dict[str, list[Window]] = {}
        for window in windows:
            by_stage.setdefault(window.stage, []).append(window)
        found: set[str] = set()
        if by_stage:
            with connect(self._path) as connection:
                for stage, those in by_stage.items():
                    ledger = read_ledger(connection, stage, [window.id for window in those])
                    found |= {window.id for window in those if is_loaded(window, ledger)}
        return found

    def build(self, scope: Scope | None = None) -> str:
        """Runs dbt in this process, which alone has the file open meanwhile."""
        begun_at, project = utc_now(), fingerprint(self._settings)
        with connect(self._path) as connection:
            history_loaded_at = read_history_stamp(connection)
            needed = needed_scope(connection, project, today=begun_at.date())
        built = max(needed, scope or needed, key=SCOPES.index)
        environment = {"ADVENTURE_DUCKDB_PATH": str(self._path.resolve())}
        with holding(self._path):
            message = run_dbt_build(self._settings, built, target="duckdb", environment=environment)
        if built != "increment":
            with connect(self._path) as connection:
                remember_build(connection, begun_at, project, history_loaded_at)
        return message

    def build_is_due(self) -> bool:
        """Whether sales or a history were loaded, or a day has begun, since the last build that succeeded."""
        (built_at, loaded_at), *_ = self.query(
            """
            select
                (select max(started_at) from raw_ext.task_history where task = 'build' and outcome = 'succeeded'),
                greatest(
                    (select max(loaded_at) from raw_ext.load_history), (select loaded_at from raw_ext.last_history)
                )
            """
        )
        if built_at is None or built_at.date() != utc_now().date():
            return True
        return bool(loaded_at is not None and loaded_at >= built_at)

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
        (due,), *_ = self.query(
            """
            select coalesce(
                max(ended_at) filter (where task = 'build') > max(started_at) filter (where task = 'publish'),
                count(*) filter (where task = 'build') > 0
            )
            from raw_ext.task_history
            where outcome = 'succeeded'
            """
        )
        return bool(due)

    def record(self, run: TaskRun) -> None:
        """Adds a run to the history of the tasks, and drops what is older than RUNS_KEPT runs of its kind."""
        with connect(self._path) as connection:
            connection.execute(
                "insert into raw_ext.task_history values (?, ?, ?, ?, ?, ?, ?)",
                [run.name, run.started_at, run.ended_at, run.outcome, run.rows, run.files, run.message],
            )
            # By outcome, so that failures of days do not drop the last success, on which it depends what is due.
            connection.execute(
                """
                delete from raw_ext.task_history where task = $task and outcome = $outcome and started_at < (
                    select started_at from raw_ext.task_history where task = $task and outcome = $outcome
                    order by started_at desc limit 1 offset $kept
                )
                """,
                {"task": run.name, "outcome": run.outcome, "kept": RUNS_KEPT - 1},
            )

    def last_runs(self) -> list[TaskRun]:
        """The last run of each task, in the order in which they ended."""
        rows = self.query(
            """
            select task, started_at, ended_at, outcome, rows, files, message from raw_ext.task_history
            qualify row_number() over (partition by task order by started_at desc, ended_at desc) = 1
            order by ended_at
            """
        )
        return [TaskRun(*row) for row in rows]

    def failures_in_a_row(self) -> dict[str, tuple[int, str]]:
        """See `Warehouse`."""
        rows = self.query(
            """
            with succeeded as (
                select task, max(started_at) as at from raw_ext.task_history where outcome = 'succeeded' group by task
            )
            select runs.task, count(*), max_by(runs.message, runs.started_at)
            from raw_ext.task_history as runs
            left join succeeded on succeeded.task = runs.task
            where runs.outcome = 'failed' and (succeeded.at is null or runs.started_at > succeeded.at)
            group by runs.task
            order by runs.task
            """
        )
        return {task: (times, message) for task, times, message in rows}

    def rejected_since(self, moment: datetime) -> dict[str, int]:
        """See `Warehouse`."""
        rows = self.query(
            """
            select stream, sum(rows)::bigint from raw_ext.load_history
            where kind = 'rejects' and loaded_at >= ?
            group by stream
            order by stream
            """,
            [moment],
        )
        return dict(rows)

    def totals(self, streams: Iterable[Stream]) -> dict[str, StreamTotals]:
        """What the ledger says, by stream."""
        rows = self.query(
            """
            select
                stream,
                coalesce(sum(rows) filter (where kind = 'data'), 0)::bigint,
                coalesce(sum(rows) filter (where kind = 'rejects'), 0)::bigint,
                coalesce(sum(rows) filter (where kind = 'deletes'), 0)::bigint,
                max(loaded_at)
            from raw_ext.load_history
            group by stream
            """
        )
        found = {row[0]: StreamTotals(*row[1:]) for row in rows}
        return {stream.name: found.get(stream.name, StreamTotals()) for stream in streams}

    def copy_versions(self, stream: Stream, kinds: Sequence[str], scratch: Path, *, suspects: bool = False) -> None:
        """Copies the latest version of each key; with `suspects` what the stage holds of them first."""
        if suspects:
            # A window goes from the stage to the warehouse, never back: looked at in this order, none is overlooked.
            windows = [window for window in self._stage.windows(stream.stage) if window.stream == stream.name]
            loaded = self.loaded(windows)
            waiting = [window for window in windows if window.id not in loaded]
            copy_staged(self._stage, waiting, stream, kinds, scratch)
        with connect(self._path) as connection:
            copy_versions(connection, stream, kinds, scratch, suspects=suspects)

    def lateness(self, stream: Stream, kinds: Sequence[str], bounds: Sequence[int]) -> dict[int, int]:
        """See `Warehouse`."""
        with connect(self._path) as connection:
            return lateness(connection, stream, kinds, bounds)

    def query(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Reads."""
        with connect(self._path) as connection:
            return connection.execute(statement, list(values)).fetchall()
