"""The table `raw_ext.task_history`: the runs of the tasks, and which tasks are due."""

from datetime import datetime

from adventure.core.clock import utc_now
from adventure.destinations.common.executor import SqlExecutor
from adventure.destinations.results import TaskRun

RUNS_KEPT = 1000
"""Runs of each task and outcome that the table keeps."""


class SqlTaskHistory(SqlExecutor):
    """See `TaskHistory`."""

    def record_runs(self, *runs: TaskRun) -> None:
        """Add runs, and drop the runs of their tasks and outcomes that are older than the last RUNS_KEPT."""
        for run in runs:
            self._record(run)

    def _record(self, run: TaskRun) -> None:
        self.execute(
            "insert into raw_ext.task_history"
            " select ?, cast(? as timestamp), cast(? as timestamp), ?, cast(? as bigint), cast(? as bigint), ?",
            [run.name, str(run.started_at), str(run.ended_at), run.outcome, run.rows, run.files, run.message],
        )
        # Count each outcome by itself: otherwise days of failures would drop the last success, which decides what is
        # due.
        self.execute(
            f"""
            delete from raw_ext.task_history where task = ? and outcome = ? and started_at < (
                select min(started_at) from (
                    select started_at from raw_ext.task_history where task = ? and outcome = ?
                    order by started_at desc limit {RUNS_KEPT}
                ) as kept
            )
            """,
            [run.name, run.outcome, run.name, run.outcome],
        )

    def last_runs(self) -> list[TaskRun]:
        """Return the last recorded run of each task, in the order in which they ended."""
        rows = self.execute(
            """
            select task, started_at, ended_at, outcome, "ROWS", files, message from raw_ext.task_history
            qualify row_number() over (partition by task order by started_at desc, ended_at desc) = 1
            order by ended_at
            """
        )
        return [
            TaskRun(task, started_at, ended_at, outcome, int(count), int(files), message)
            for task, started_at, ended_at, outcome, count, files, message in rows
        ]

    def failures_in_a_row(self) -> dict[str, tuple[int, str]]:
        """Return, by task whose last run failed, the failures since its last success and the last message."""
        rows = self.execute(
            """
            with succeeded as (
                select task, max(started_at) as at from raw_ext.task_history where outcome = 'succeeded' group by task
            )
            select runs.task, count(*) as times, max_by(runs.message, runs.started_at) as message
            from raw_ext.task_history as runs
            left join succeeded on succeeded.task = runs.task
            where runs.outcome = 'failed' and (succeeded.at is null or runs.started_at > succeeded.at)
            group by runs.task
            order by runs.task
            """
        )
        return {task: (int(times), message) for task, times, message in rows}

    def build_is_due(self) -> bool:
        """Return whether, since the last successful build, sales or a history were loaded or a day has begun."""
        ((built_at, sold_at, history_at),) = self.execute(
            """
            select
                (
                    select max(started_at) from raw_ext.task_history where task = 'build' and outcome = 'succeeded'
                ) as built_at,
                (select max(loaded_at) from raw_ext.load_history) as sold_at,
                (select max(loaded_at) from raw_ext.last_history) as history_at
            """
        )
        if built_at is None or built_at.date() != utc_now().date():
            return True
        times: list[datetime] = [moment for moment in (sold_at, history_at) if moment is not None]
        return bool(times) and max(times) >= built_at

    def publish_is_due(self) -> bool:
        """Return whether a build has succeeded since the last successful publish began."""
        ((built_at, published_at),) = self.execute(
            """
            select
                max(case when task = 'build' then ended_at end) as built_at,
                max(case when task = 'publish' then started_at end) as published_at
            from raw_ext.task_history
            where outcome = 'succeeded'
            """
        )
        return built_at is not None and (published_at is None or built_at > published_at)
