"""How the account's tasks are waited for, and what is said of a failed one."""

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from adventure.core.errors import TaskFailed
from adventure.destinations.snowflake.account_tasks import AccountRun, outcome_of, run_graph

BEGUN = datetime(2026, 1, 1)


class Account:
    """An account whose load takes some seconds of a clock that only sleeping moves."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.clock, self.pauses, self.readings, self.executed = seconds, 0.0, [0.0], 0, False

    def sleep(self, seconds: float) -> None:
        self.clock += seconds
        self.pauses.append(seconds)

    def execute(self, statement: str, values: object, tag: str) -> list[tuple[Any, ...]]:
        if statement.startswith("execute task"):
            self.executed = True
            return []
        self.readings += 1
        if not self.executed:
            return []
        ended = BEGUN + timedelta(seconds=self.seconds) if self.clock >= self.seconds else None
        return [("LOAD_ORDERS", "FAILED" if ended else "EXECUTING", BEGUN, BEGUN, ended, "no")]


def test_task_history_is_read_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading needs the warehouse: every two seconds, an hour's load would cost 1,800 queries."""
    theirs = Account(seconds=3600)
    clock = SimpleNamespace(sleep=theirs.sleep, monotonic=lambda: theirs.clock)
    monkeypatch.setattr("adventure.destinations.snowflake.account_tasks.time", clock)
    run, _ = run_graph(theirs.execute, "load_orders", "cleanup_orders")
    assert run.outcome == "failed"
    assert theirs.pauses[1:6] == [5, 10, 20, 30, 30]
    assert theirs.readings <= 125


def test_a_stale_stream_is_replaced_by_deploy() -> None:
    run = AccountRun("load_orders", BEGUN, BEGUN, BEGUN, "failed", "Stream ORDERS_STAGE_FILES is stale")
    with pytest.raises(TaskFailed, match=r"is stale\. Run `adventure snowflake deploy`"):
        outcome_of(run, [])
