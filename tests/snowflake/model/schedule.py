"""The account's scheduler over a clock of its own: what is due, what runs, and how long a warehouse is awake."""

import re
from collections.abc import Callable, Iterator

from tests.snowflake.model.rights import Thing
from tests.snowflake.model.tasks import Run, Tasks

TICK_SEC = 10
"""The shortest interval of a triggered task that Snowflake allows."""
DEFAULT_TRIGGER_SEC = 30
"""Snowflake's USER_TASK_MINIMUM_TRIGGER_INTERVAL_IN_SECONDS of a task that does not set it."""


class Schedule:
    """Runs the resumed tasks when they are due, from midnight UTC on.

    A graph that still runs is not begun again. A triggered task begins when its WHEN holds, and its interval after it
    began last. A failed graph is repeated as often as its first task says, then counts as a failure; after as many
    failures in a row as the task says, it is suspended.
    """

    def __init__(self, tasks: Tasks) -> None:
        self.tasks, self.now = tasks, 0
        self.runs: list[Run] = []
        self._begun: dict[str, float] = {}
        self._busy_until: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    def run_until(self, end: int, arrive: Callable[[int], None] = lambda _: None) -> None:
        """Let time pass.

        Args:
            end: seconds since midnight.
            arrive: is called with the time before the tasks of each tick.
        """
        while self.now < end:
            arrive(self.now)
            for task in list(self._due()):
                self._run(task)
            self.now += TICK_SEC

    def awake_seconds(self, warehouse: str) -> float:
        """Return how long the runs kept a warehouse awake until now, with the idle time before it suspends itself."""
        thing = self.tasks.rights.find("WAREHOUSE", warehouse)
        assert thing is not None
        (idle,) = map(int, re.findall(r" auto_suspend = (\d+) ", thing.text))
        awake = until = 0.0
        for run in sorted(self.runs, key=lambda run: run.begin):
            if run.state != "SKIPPED":
                end = min(run.end + idle, float(self.now))
                awake += max(0.0, end - max(run.begin, until))
                until = max(until, end)
        return awake

    def _due(self) -> Iterator[Thing]:
        for (kind, name), task in self.tasks.rights.things.items():
            if kind != "TASK" or not task.is_resumed or self._busy_until.get(name, 0) > self.now:
                continue
            if cron := re.search(r" schedule = 'using cron (\d+) \* \* \* \* utc'", task.text, re.IGNORECASE):
                if self.now % 3600 == int(cron[1]) * 60:
                    yield task
            elif self.tasks.rights.root_of(task) is task and self.tasks.is_due(task):
                given = re.search(r" user_task_minimum_trigger_interval_in_seconds = (\d+) ", task.text)
                pause = int(given[1]) if given else DEFAULT_TRIGGER_SEC
                if self.now - self._begun.get(name, -pause) >= pause:
                    yield task

    def _run(self, root: Thing) -> None:
        begin, runs = float(self.now), list[Run]()
        for _ in range(1 + _number(root, "task_auto_retry_attempts")):
            runs += self.tasks.run_graph(root, begin)
            begin = runs[-1].end
            if runs[-1].state not in ("FAILED", "CANCELLED"):
                break
        self.runs += runs
        self._begun[root.name], self._busy_until[root.name] = self.now, begin
        is_failed = runs[-1].state in ("FAILED", "CANCELLED")
        self._failures[root.name] = self._failures.get(root.name, 0) + 1 if is_failed else 0
        limit = _number(root, "suspend_task_after_num_failures")
        if limit and self._failures[root.name] >= limit:
            root.is_resumed = False


def _number(task: Thing, setting: str) -> int:
    found = re.search(rf" {setting} = (\d+) ", task.text)
    return int(found[1]) if found else 0
