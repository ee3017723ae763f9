"""The Snowflake warehouse: runs the account's own tasks and waits for them, and reads its tables."""

import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adventure.core.errors import ConfigError, TaskFailed
from adventure.core.row_text import RowColumn
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.common.build import run_dbt_build, target_dir
from adventure.destinations.common.selection import LoadedTables
from adventure.destinations.common.sql_warehouse import SqlWarehouse
from adventure.destinations.results import Credits, LoadResult, TaskRun
from adventure.destinations.snowflake.account_tasks import AccountRun, account_runs, outcome_of, run_graph
from adventure.destinations.snowflake.budget import Budget, read_monitor
from adventure.destinations.snowflake.credentials import SnowflakeLogin
from adventure.destinations.snowflake.dialect import SNOWFLAKE
from adventure.destinations.snowflake.profile import profile_variables
from adventure.destinations.snowflake.publish import publish, publish_report
from adventure.destinations.snowflake.session import SnowflakeSession
from adventure.destinations.snowflake.stage import SnowflakeStage
from adventure.destinations.snowflake.versions import copy_suspects, open_versions
from adventure.destinations.warehouse import Scope, Versions


class SnowflakeWarehouse(SqlWarehouse):
    """See `Warehouse`. The first statement opens the one session."""

    dialect = SNOWFLAKE

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        # Sign in with dbt's user and role, which may read the raw tables. The loader's role need not be able to.
        self._login = SnowflakeLogin.of_dbt(settings)
        self._session = SnowflakeSession(settings, self._login)
        self._budget = Budget(settings, self._session.execute, self._login.role)
        self._run_id = uuid.uuid4().hex
        self._dbt_target = target_dir(settings)
        self._is_published = settings.snowflake_dbt_target == "prod"
        self._cleanups: dict[str, LoadResult | TaskFailed] = {}
        """Results by stream that this process loaded: the account runs the cleanup after each load by itself."""

    def execute(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement with values for its question marks and return its rows.

        Raises:
            CreditBudgetReached: the statement was not run.
        """
        self._budget.check()
        return self._session.execute(statement, values, f"adventure:query:{self._run_id}")

    def create_tables(self) -> None:
        """Do nothing: `adventure snowflake deploy` creates the tables."""

    def adopt(self, stream: Stream, table: str | None) -> int:
        """Refuse: the raw tables belong to the owner's role, which runs the documented statements.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            f"{stream.name}: on Snowflake only the role ADVENTURE_OWNER may change raw tables",
            "Run the statements in docs/four-tasks.md, section `Raw tables of your own`, with that role",
        )

    def load_is_due(self) -> bool:
        """Return False: the account's schedule or trigger runs the loads."""
        return False

    def load(self, stream: Stream) -> LoadResult:
        """Run the account's load task and wait for it and for the cleanup task that follows.

        Raises:
            TaskFailed: the load task failed. All windows that can be loaded are loaded.
            CreditBudgetReached: the task was not run.
        """
        load, cleanup = f"load_{stream.name}", f"cleanup_{stream.name}"
        before = self._recorded_runs()
        self._cleanups.pop(stream.name, None)
        self._budget.check()
        try:
            loaded, cleaned = self._run(stream, load, cleanup)
            after = self._recorded_runs()
            result = _result(loaded, before, after)
        except TaskFailed:
            reason = f"{cleanup} was not run: the account runs it after {load}, which failed"
            self._cleanups[stream.name] = TaskFailed(reason, f"Fix the failure of {load}; loaded rows stay loaded")
            raise
        try:
            self._cleanups[stream.name] = _result(cleaned, before, after) if cleaned else LoadResult(was_run=False)
        except TaskFailed as error:
            self._cleanups[stream.name] = error
        return result

    def cleanup(self, stream: Stream) -> LoadResult:
        """Return the result of the cleanup that the account ran after this process's load; without one, load first.

        Raises:
            TaskFailed: the cleanup failed, or was not run because the load failed.
            CreditBudgetReached: the tasks were not run.
        """
        if stream.name not in self._cleanups:
            self.load(stream)
        found = self._cleanups.pop(stream.name)
        if isinstance(found, TaskFailed):
            raise found
        return found

    def run_dbt(self, scope: Scope, tables: LoadedTables) -> str:
        """Run dbt in this process, with the target SNOWFLAKE_DBT_TARGET."""
        return run_dbt_build(
            self._settings,
            scope,
            tables,
            profile="adventure_snowflake",
            target=self._settings.snowflake_dbt_target,
            environment=profile_variables(self._settings, self._run_id),
        )

    def publish(self) -> int:
        """Replace the published marts and return the number of their rows. A development target is not published.

        Raises:
            WarehouseError: nothing is built yet, or Snowflake refuses.
            CreditBudgetReached: nothing was published.
        """
        if not self._is_published:
            return 0
        return publish(self.execute, dbt_target=self._dbt_target)

    def publish_is_due(self) -> bool:
        """Return whether a build has succeeded since the last successful publish. Never for a development target."""
        return self._is_published and super().publish_is_due()

    def publish_report(self, streams: Sequence[Stream], *, interval: float | None) -> None:
        """Replace the published state of the pipeline. A development target is not published.

        Args:
            interval: seconds between two runs of the tasks; None when they are run by hand.
        """
        if self._is_published:
            publish_report(
                self.execute,
                streams=streams,
                stage=SnowflakeStage(self._settings),
                dbt_target=self._dbt_target,
                interval=interval,
            )

    def record_runs(self, *runs: TaskRun) -> None:
        """Record the runs of build and publish. The account's own tasks record their runs themselves."""
        super().record_runs(*(run for run in runs if run.name in ("build", "publish")))

    def last_runs(self) -> list[TaskRun]:
        """Return the last run of each task: the recorded run, or a later failure in the account's TASK_HISTORY."""
        last = {run.name: run for run in super().last_runs()}
        for run in account_runs(self._session.execute):
            recorded = last.get(run.task)
            is_older = recorded is not None and recorded.ended_at >= run.started_at
            if run.ended_at is None or run.outcome != "failed" or is_older:
                continue
            last[run.task] = TaskRun(run.task, run.started_at, run.ended_at, run.outcome, 0, 0, run.message)
        return sorted(last.values(), key=lambda run: run.ended_at)

    def credits(self) -> Credits | None:
        """Return the credits that the resource monitor has counted this month.

        Raises:
            WarehouseRefused: the role may not see the monitor.
        """
        monitor = read_monitor(self._settings, self._session.execute, self._login.role)
        return Credits(monitor.used, self._settings.credit_budget, monitor.quota)

    def versions(
        self, stream: Stream, kinds: Sequence[str], rows: Sequence[RowColumn], folder: Path
    ) -> AbstractContextManager[Versions]:
        """Open the versions as a temporary table, so that all queries see the same moment.

        Raises:
            ConfigError: whole rows cannot be compared.
        """
        if rows:
            raise ConfigError(
                "Snowflake compares keys and cursors only, not whole rows", "Run `adventure reconcile` without --rows"
            )
        return open_versions(self.execute, self._batches, stream, kinds)

    def copy_suspects(
        self,
        stream: Stream,
        kinds: Sequence[str],
        rows: Sequence[RowColumn],
        scratch: Path,
        *,
        without: Collection[str] = (),
    ) -> bool:
        """Copy the stage's and the warehouse's rows of the suspects into the file `scratch`; see `VersionReader`.

        The waiting files are fetched and read on this machine.
        """
        from adventure.destinations.common.staged_files import copy_staged

        # Sign in as the processor, which owns the stages.
        stage = SnowflakeStage(self._settings)
        damaged = stage.damaged(stream.stage)
        waiting = self.waiting_windows(stage, stream, without)
        with TemporaryDirectory(dir=scratch.parent) as folder:
            fetched = {window.id: stage.fetch(window, Path(folder)) for window in waiting}
            are_whole = copy_staged(lambda window, name: fetched[window.id] / name, waiting, stream, kinds, scratch)
        copy_suspects(self.execute, stream, kinds, scratch)
        return are_whole and not damaged

    def _run(self, stream: Stream, load: str, cleanup: str) -> tuple[AccountRun, AccountRun | None]:
        """Run the load, and once more if the account skipped it although windows wait.

        EXECUTE TASK obeys the task's WHEN, which looks at the files that the stage's directory has shown since the last
        load. A processor that was killed before its refresh, or that held it back at CREDIT_BUDGET, leaves files that
        the directory does not show; and a stream that was replaced begins with the next file.

        Raises:
            TaskFailed: a task did not end, or the account skipped the load again.
        """
        loaded, cleaned = run_graph(self._session.execute, load, cleanup)
        stage = SnowflakeStage(self._settings)
        if loaded.outcome != "skipped" or not self.waiting_windows(stage, stream, ()):
            return loaded, cleaned
        stage.wake(stream.stage)
        loaded, cleaned = run_graph(self._session.execute, load, cleanup)
        if loaded.outcome == "skipped" and (waiting := len(self.waiting_windows(stage, stream, ()))):
            raise TaskFailed(
                f"The account skipped {load}, so that {waiting} staged windows were not loaded",
                "See whether its WHEN still names the stage's stream: run `adventure snowflake deploy`",
            )
        return loaded, cleaned

    def _batches(self, statement: str, values: Sequence[object]) -> Iterator[list[tuple[Any, ...]]]:
        self._budget.check()
        return self._session.batches(statement, values, f"adventure:query:{self._run_id}")

    def _recorded_runs(self) -> dict[str, TaskRun]:
        return {run.name: run for run in super().last_runs()}


def _result(run: AccountRun, before: dict[str, TaskRun], after: dict[str, TaskRun]) -> LoadResult:
    """Return the rows and files that a run recorded; none if it recorded nothing, or was skipped.

    Raises:
        TaskFailed: the run failed.
    """
    recorded = after.get(run.task)
    is_new = recorded is not None and recorded != before.get(run.task)
    outcome_of(run, [recorded.message] if recorded and is_new else [])
    if run.outcome == "skipped":
        return LoadResult(was_run=False)
    return LoadResult(recorded.rows, recorded.files) if recorded and is_new else LoadResult()
