"""Snowflake behind the seam of the warehouses: its own tasks are run and awaited, its tables read."""

import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adventure.core.clock import utc_now
from adventure.core.errors import ConfigError, TaskFailed
from adventure.core.manifest import Window
from adventure.core.row_text import RowColumn
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.common import records
from adventure.destinations.common.build import SCOPES, Scope, fingerprint, run_dbt_build, target_dir
from adventure.destinations.common.builds import needed_scope, read_history_stamp, remember_build
from adventure.destinations.snowflake.account_tasks import AccountRun, account_runs, outcome_of, run_graph
from adventure.destinations.snowflake.budget import Budget
from adventure.destinations.snowflake.copies import read_copied
from adventure.destinations.snowflake.credits import read_costs
from adventure.destinations.snowflake.key_text import document_moment, field, key_field, raw_table, rejected_key
from adventure.destinations.snowflake.profile import profile_variables
from adventure.destinations.snowflake.publish import publish, publish_report
from adventure.destinations.snowflake.session import SnowflakeLogin, SnowflakeSession
from adventure.destinations.snowflake.stage import SnowflakeStage
from adventure.destinations.snowflake.versions import columns_of, copy_suspects, lateness, open_versions
from adventure.destinations.warehouse import Copied, Costs, Moved, RemovedWindow, StreamTotals, TaskRun, Versions


class SnowflakeWarehouse:
    """See `Warehouse`. One session, opened by the first statement."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # It signs in as dbt does, which reads what is raw: who stages files need not be able to.
        self._login = SnowflakeLogin.of_dbt(settings)
        self._session = SnowflakeSession(settings, self._login)
        self._budget = Budget(settings, self._session.ask, self._login.role)
        self._run_id = uuid.uuid4().hex
        self._dbt_target = target_dir(settings)
        self._is_shown = settings.snowflake_dbt_target == "prod"
        self._cleanups: dict[str, Moved | TaskFailed] = {}
        """Of the streams that this process loaded: the account cleans up after each load by itself."""

    def create_tables(self) -> None:
        """Nothing: `adventure snowflake deploy` makes them."""

    def load_is_due(self) -> bool:
        """Never: the account's schedule or trigger runs the loads."""
        return False

    def load(self, stream: Stream) -> Moved:
        """Runs the account's load task, after which the account runs the cleanup, and waits for both.

        Raises:
            TaskFailed: with what the task says; windows that can be loaded are loaded all the same.
            CreditBudgetReached: it was not run.
        """
        load, cleanup = f"load_{stream.name}", f"cleanup_{stream.name}"
        before = self._recorded()
        self._cleanups.pop(stream.name, None)
        self._budget.check()
        try:
            loaded, cleaned = run_graph(self._session.ask, load, cleanup)
            after = self._recorded()
            moved = _moved(loaded, before, after)
        except TaskFailed:
            reason = f"{cleanup} was not run: the account runs it after {load}, which failed"
            self._cleanups[stream.name] = TaskFailed(reason, "Mend what failed; what is loaded stays loaded")
            raise
        try:
            self._cleanups[stream.name] = _moved(cleaned, before, after) if cleaned else Moved()
        except TaskFailed as error:
            self._cleanups[stream.name] = error
        return moved

    def cleanup(self, stream: Stream) -> Moved:
        """What the cleanup did that the account ran after this process's load; without one, loads first.

        Raises:
            TaskFailed: it failed, or was not run since the load failed.
            CreditBudgetReached: it was not run.
        """
        if stream.name not in self._cleanups:
            self.load(stream)
        found = self._cleanups.pop(stream.name)
        if isinstance(found, TaskFailed):
            raise found
        return found

    def loaded(self, windows: Iterable[Window]) -> set[str]:
        """The ids of those windows that are loaded whole."""
        return records.loaded(self.query, windows)

    def build(self, scope: Scope | None = None) -> str:
        """Runs dbt in this process, against SNOWFLAKE_DBT_TARGET.

        Raises:
            BuildFailed: a model or a test failed.
            CreditBudgetReached: nothing was built.
        """
        begun_at, project = utc_now(), fingerprint(self._settings)
        history_loaded_at = read_history_stamp(self.query)
        needed = needed_scope(self.query, project, today=begun_at.date())
        built = max(needed, scope or needed, key=SCOPES.index)
        message = run_dbt_build(
            self._settings,
            built,
            target=self._settings.snowflake_dbt_target,
            environment=profile_variables(self._settings, self._run_id),
        )
        if built != "increment":
            remember_build(self.query, begun_at, project, history_loaded_at)
        return message

    def build_is_due(self) -> bool:
        """See `Warehouse`."""
        return records.build_is_due(self.query)

    def publish(self) -> int:
        """Replaces the copies that the dashboard reads; what is built for development is not shown.

        Raises:
            WarehouseError: nothing is built yet, or Snowflake says no.
            CreditBudgetReached: nothing was published.
        """
        if not self._is_shown:
            return 0
        return publish(self.query, manifest=self._dbt_target / "manifest.json")

    def publish_is_due(self) -> bool:
        """See `Warehouse`."""
        return self._is_shown and records.publish_is_due(self.query)

    def publish_report(self, streams: Sequence[Stream], *, every: float | None) -> None:
        """Replaces what the dashboard says of the pipeline."""
        if self._is_shown:
            publish_report(
                self.query,
                streams=streams,
                stage=SnowflakeStage(self._settings),
                dbt_target=self._dbt_target,
                every=every,
            )

    def record_removal(self, window: RemovedWindow) -> None:
        """See `Warehouse`."""
        records.record_removal(self.query, window)

    def record(self, run: TaskRun) -> None:
        """Adds a build or what was published; the account's own tasks record their runs themselves."""
        if run.name in ("build", "publish"):
            records.record(self.query, run)

    def last_runs(self) -> list[TaskRun]:
        """The last run of each task that did something: as it recorded itself, or else by TASK_HISTORY."""
        last = {run.name: run for run in records.last_runs(self.query)}
        for run in account_runs(self._session.ask):
            held = last.get(run.task)
            if run.ended_at is None or run.outcome != "failed" or (held and held.ended_at >= run.started_at):
                continue
            last[run.task] = TaskRun(run.task, run.started_at, run.ended_at, run.outcome, 0, 0, run.message)
        return sorted(last.values(), key=lambda run: run.ended_at)

    def failures_in_a_row(self) -> dict[str, tuple[int, str]]:
        """See `Warehouse`."""
        return records.failures_in_a_row(self.query)

    def outstanding_rejects(self, stream: Stream, since: datetime) -> int:
        """See `Warehouse`."""
        held = columns_of(self.query, stream)
        table = raw_table(stream) if held else ""
        return records.outstanding_rejects(self.query, stream, table, rejected_key(stream, held), since)

    def totals(self, streams: Iterable[Stream]) -> dict[str, StreamTotals]:
        """What the ledger says, by stream."""
        return records.totals(self.query, streams)

    def living_keys(self, stream: Stream) -> int:
        """See `Warehouse`."""
        keys = ", ".join(key_field(stream, key) for key in stream.key)
        cursor = field(stream, stream.cursor)
        if stream.documents:
            cursor = f"cast(convert_timezone('UTC', {document_moment(stream)}) as timestamp_ntz)"
        return records.living_keys(self.query, raw_table(stream), keys, cursor)

    def costs(self) -> Costs | None:
        """By the account's metering."""
        self._budget.check()
        return read_costs(self._settings, self._session.ask, self._login.role)

    def copied(self, streams: Sequence[Stream]) -> list[Copied] | None:
        """By the account's COPY_HISTORY."""
        return read_copied(self.query, streams)

    def versions(
        self, stream: Stream, kinds: Sequence[str], rows: Sequence[RowColumn], folder: Path
    ) -> AbstractContextManager[Versions]:
        """A temporary table of them, so that they are as of one moment."""
        if rows:
            raise ConfigError(
                "Snowflake does not compare whole rows: its hashes are of keys and cursors",
                "Run `adventure reconcile` without --rows",
            )
        return open_versions(self.query, self._batches, stream, kinds)

    def copy_suspects(
        self,
        stream: Stream,
        kinds: Sequence[str],
        rows: Sequence[RowColumn],
        scratch: Path,
        *,
        without: Collection[str] = (),
    ) -> bool:
        """See `Warehouse`; the files that wait are fetched, and read here."""
        from adventure.destinations.duckdb.staged import copy_staged

        # As the processor, whose the stages are.
        stage = SnowflakeStage(self._settings)
        damaged = stage.damaged(stream.stage)
        windows = [window for window in stage.windows(stream.stage) if window.stream == stream.name]
        passed_over = self.loaded(windows) | set(without)
        waiting = [window for window in windows if window.id not in passed_over]
        with TemporaryDirectory(dir=scratch.parent) as folder:
            fetched = {window.id: stage.fetch(window, Path(folder)) for window in waiting}
            are_whole = copy_staged(lambda window, name: fetched[window.id] / name, waiting, stream, kinds, scratch)
        copy_suspects(self.query, stream, kinds, scratch)
        return are_whole and not damaged

    def lateness(self, stream: Stream, kinds: Sequence[str], bounds: Sequence[int]) -> dict[int, int]:
        """See `Warehouse`."""
        return lateness(self.query, stream, kinds, bounds)

    def query(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Reads.

        Raises:
            CreditBudgetReached: the statement was not run.
        """
        self._budget.check()
        return self._session.ask(statement, values, f"adventure:query:{self._run_id}")

    def _batches(self, statement: str, values: Sequence[object]) -> Iterator[list[tuple[Any, ...]]]:
        self._budget.check()
        return self._session.batches(statement, values, f"adventure:query:{self._run_id}")

    def _recorded(self) -> dict[str, TaskRun]:
        return {run.name: run for run in records.last_runs(self.query)}


def _moved(run: AccountRun, before: dict[str, TaskRun], after: dict[str, TaskRun]) -> Moved:
    """What a run did, by what it recorded; nothing, where it recorded nothing.

    Raises:
        TaskFailed: it failed.
    """
    recorded = after.get(run.task)
    is_new = recorded is not None and recorded != before.get(run.task)
    outcome_of(run, [recorded.message] if recorded and is_new else [])
    return Moved(recorded.rows, recorded.files) if recorded and is_new else Moved()
