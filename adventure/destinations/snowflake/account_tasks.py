"""Runs the account's own tasks, and reads the outcomes of their runs from TASK_HISTORY.

Only the root of a task graph can be executed. Snowflake runs the following tasks itself, after the root has succeeded.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from adventure.core import heartbeat
from adventure.core.errors import TaskFailed
from adventure.destinations.results import Outcome
from adventure.destinations.snowflake.session import TaggedExecute

POLL_SEC = 5.0
"""How long to wait before TASK_HISTORY is read again. Each reading needs the warehouse, so the wait doubles."""
LONGEST_POLL = 6
"""The longest wait, in multiples of POLL_SEC: 30 s."""
TASK_TIMEOUT_SEC = 3700.0
"""A little more than the user_task_timeout_ms of snowflake/4_tasks_*.sql."""
FOLLOWS_SEC = 90.0
"""How long to wait for a following task to appear after its predecessor has ended."""

_STATES: dict[str, Outcome] = {
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "FAILED_AND_AUTO_SUSPENDED": "failed",
    "CANCELLED": "failed",
    "SKIPPED": "skipped",
}
DAYS = 6
"""How far back TASK_HISTORY is read. The account keeps seven days and refuses an earlier start."""
_HISTORY = f"""
select name, state, scheduled_time, query_start_time, completed_time, error_message
from table(information_schema.task_history(
    scheduled_time_range_start => dateadd('day', -{DAYS}, current_timestamp()), result_limit => 10000
))
where database_name = current_database() and schema_name in ('RAW_EXT', 'DBT_PROJECT')
order by scheduled_time
"""


@dataclass(frozen=True)
class AccountRun:
    """A run of one of the account's tasks. Timestamps are naive UTC."""

    task: str
    scheduled_at: datetime
    started_at: datetime
    ended_at: datetime | None
    outcome: Outcome | None
    """None while the run waits or is in progress."""
    message: str


def account_runs(execute: TaggedExecute) -> list[AccountRun]:
    """Return the runs of the last DAYS days, in the order of their schedule."""
    runs = []
    for name, state, scheduled, started, ended, message in execute(_HISTORY, (), "adventure:tasks"):
        begun = _naive_utc(started or scheduled)
        end = _naive_utc(ended) if ended else None
        runs.append(AccountRun(name.lower(), _naive_utc(scheduled), begun, end, _STATES.get(state), message or ""))
    return runs


def run_graph(execute: TaggedExecute, root: str, follower: str) -> tuple[AccountRun, AccountRun | None]:
    """Execute the root task, wait for it and, if it succeeded, for the task that follows it.

    Raises:
        TaskFailed: a task did not end, or the following task did not start.
    """
    known = known_runs(execute)
    execute(f"execute task raw_ext.{root}", (), f"adventure:{root}")
    return follow_graph(execute, root, follower, known)


def known_runs(execute: TaggedExecute) -> set[tuple[str, datetime]]:
    """Return the task and the schedule of each run so far, for `follow_graph`."""
    return {(run.task, run.scheduled_at) for run in account_runs(execute)}


def follow_graph(
    execute: TaggedExecute,
    root: str,
    follower: str,
    known: set[tuple[str, datetime]],
    begins_within: float | None = None,
) -> tuple[AccountRun, AccountRun | None]:
    """Wait for the next run of the root task, whatever begins it, and then for the task that follows it.

    Args:
        begins_within: seconds in which the root's run must begin.

    Raises:
        TaskFailed: a task did not begin or did not end.
    """
    first = _wait(execute, root, known, TASK_TIMEOUT_SEC, begins_within)
    if first.outcome != "succeeded":
        return first, None
    return first, _wait(execute, follower, known, TASK_TIMEOUT_SEC, begins_within=FOLLOWS_SEC)


def _wait(
    execute: TaggedExecute,
    task: str,
    known: set[tuple[str, datetime]],
    timeout: float,
    begins_within: float | None = None,
) -> AccountRun:
    begun, pause = time.monotonic(), POLL_SEC
    while True:
        new = [run for run in account_runs(execute) if run.task == task and (task, run.scheduled_at) not in known]
        if new and new[0].outcome is not None:
            return new[0]
        waited = time.monotonic() - begun
        if not new and waited > (begins_within or timeout):
            raise TaskFailed(
                f"The account's task {task} did not begin within {waited:.0f} s",
                f"Resume it if it is suspended: alter task raw_ext.{task} resume",
            )
        if waited > timeout:
            raise TaskFailed(f"The account's task {task} did not end within {waited:.0f} s", _see(task))
        heartbeat.beat()
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_POLL * POLL_SEC)


def outcome_of(run: AccountRun, recorded: Sequence[str]) -> None:
    """Raise TaskFailed if the run failed, with the message that the task recorded or else the account's message."""
    if run.outcome == "failed":
        reason = (recorded[0] if recorded else "") or run.message or "the account gives no reason"
        remedy = "" if recorded else _see(run.task)
        if re.search(r"\bstale\b", reason, re.IGNORECASE):
            remedy = "Run `adventure snowflake deploy`, which replaces a stale stream. Nothing that is staged is lost"
        raise TaskFailed(f"{run.task} failed: {reason.rstrip('.')}", remedy)


def _naive_utc(moment: datetime) -> datetime:
    """Return a timestamp in naive UTC. One without an offset is UTC already."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _see(task: str) -> str:
    return f"See its runs in Snowflake: select * from table(information_schema.task_history(task_name => '{task}'))"
