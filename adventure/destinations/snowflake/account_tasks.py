"""The account's own tasks: run now, and how their runs ended, by TASK_HISTORY.

Snowflake runs a task's followers itself, and only after it succeeded; of a graph only the first task can be executed.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from adventure.core import heartbeat
from adventure.core.errors import TaskFailed
from adventure.destinations.snowflake.credits import naive_utc
from adventure.destinations.snowflake.session import Ask
from adventure.destinations.warehouse import Outcome

POLL_SEC = 2.0
PATIENCE_SEC = 3700.0
"""A little more than the user_task_timeout_ms of snowflake/4_tasks_*.sql."""
FOLLOWS_SEC = 90.0
"""How long a follower may take to be seen after its predecessor ended."""

_STATES: dict[str, Outcome] = {
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "FAILED_AND_AUTO_SUSPENDED": "failed",
    "CANCELLED": "failed",
    "SKIPPED": "skipped",
}
DAYS = 6
"""How far back is asked: the account tells of seven, and refuses a question that begins earlier."""
_HISTORY = f"""
select name, state, scheduled_time, query_start_time, completed_time, error_message
from table(information_schema.task_history(
    scheduled_time_range_start => dateadd('day', -{DAYS}, current_timestamp()), result_limit => 10000
))
where database_name = current_database() and schema_name = 'RAW_EXT'
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
    """None while it waits or runs."""
    message: str


def account_runs(ask: Ask) -> list[AccountRun]:
    """The runs of the last DAYS days, in their order."""
    runs = []
    for name, state, scheduled, started, ended, message in ask(_HISTORY, (), "adventure:tasks"):
        begun = naive_utc(started or scheduled)
        end = naive_utc(ended) if ended else None
        runs.append(AccountRun(name.lower(), naive_utc(scheduled), begun, end, _STATES.get(state), message or ""))
    return runs


def run_graph(ask: Ask, root: str, follower: str) -> tuple[AccountRun, AccountRun | None]:
    """Executes a task and waits for it and, where it succeeded, for the one that follows it.

    Raises:
        TaskFailed: one of them did not end, or the follower did not begin.
    """
    known = {(run.task, run.scheduled_at) for run in account_runs(ask)}
    ask(f"execute task raw_ext.{root}", (), f"adventure:{root}")
    first = _wait(ask, root, known, PATIENCE_SEC)
    if first.outcome != "succeeded":
        return first, None
    return first, _wait(ask, follower, known, PATIENCE_SEC, begins_within=FOLLOWS_SEC)


def _wait(
    ask: Ask, task: str, known: set[tuple[str, datetime]], patience: float, begins_within: float | None = None
) -> AccountRun:
    begun = time.monotonic()
    while True:
        new = [run for run in account_runs(ask) if run.task == task and (task, run.scheduled_at) not in known]
        if new and new[0].outcome is not None:
            return new[0]
        waited = time.monotonic() - begun
        if not new and waited > (begins_within or patience):
            raise TaskFailed(
                f"The account's task {task} did not begin within {waited:.0f} s",
                f"It is suspended, or its schema is busy: alter task raw_ext.{task} resume",
            )
        if waited > patience:
            raise TaskFailed(f"The account's task {task} did not end within {waited:.0f} s", _see(task))
        heartbeat.beat()
        time.sleep(POLL_SEC)


def outcome_of(run: AccountRun, recorded: Sequence[str]) -> None:
    """Raises TaskFailed where the run did not succeed, with what the task itself recorded or else the account says."""
    if run.outcome == "failed":
        reason = (recorded[0] if recorded else "") or run.message or "the account gives no reason"
        raise TaskFailed(f"{run.task} failed: {reason.rstrip('.')}", "" if recorded else _see(run.task))


def _see(task: str) -> str:
    return f"See its runs in Snowflake: select * from table(information_schema.task_history(task_name => '{task}'))"
