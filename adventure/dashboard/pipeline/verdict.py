"""One glance: all is well, or what is wrong and what to do. Plain functions over the state; no Streamlit, no SQL."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from adventure.core.kinds import SOURCES
from adventure.dashboard import format
from adventure.dashboard.pipeline.state import State, StreamState

if TYPE_CHECKING:
    from adventure.core.heartbeat import Heartbeat

Severity = Literal["wrong", "look"]
"""`wrong`: figures are old or missing. `look`: they are right, and something wants a look."""

_BUILD_SEC = 120.0
"""A run of the tasks may take that long beyond its interval before it counts as missing."""
_HELD_BACK = timedelta(minutes=10)
"""A horizon that is that much older than its window was held back by an open transaction."""
_REJECTED_WITHIN = timedelta(days=1)
_RECONCILE = "reconcile"
_LONG_STEP = timedelta(minutes=1)
"""The processor beats every second, but for a step of the source's own; one that takes longer wants a look."""


@dataclass(frozen=True)
class Problem:
    """What is wrong, where, and what to do about it."""

    severity: Severity
    place: str
    """A stream's or a task's name, `processor`, `tasks`, or `tests`."""
    what: str
    do: str


def overdue_after(state: State, default_every: float) -> float:
    """Seconds after which a run of the tasks is missing: two intervals, and what a build may take."""
    return 2 * (state.every_sec or default_every) + _BUILD_SEC


def problems(state: State, processor: "Heartbeat | None", now: datetime, default_every: float) -> list[Problem]:
    """Worst first.

    Args:
        processor: its last sign of life; None where it cannot be seen, which is no problem.
        default_every: seconds between two runs of the tasks where the report does not say.
    """
    found = [
        *_processor(processor, now),
        *_tasks_missing(state, now, default_every),
        *_tasks_failed(state),
        *(problem for stream in state.streams for problem in _stream(stream, state, now, default_every)),
        *_tests(state),
        *_rejected(state, now),
    ]
    return sorted(found, key=lambda problem: problem.severity != "wrong")


def _processor(sign: "Heartbeat | None", now: datetime) -> Iterator[Problem]:
    """It beats while it lives, whether or not anything is sold."""
    if sign is None:
        return
    age = format.age(sign.seen_at, now)
    if sign.has_ended:
        yield Problem(
            "wrong",
            "processor",
            f"The processor stopped {age} ago: what was sold since then is not read",
            "Start `adventure process`; the end of its log says why it stopped",
        )
    elif now > sign.stuck_at or now > sign.next_by + _LONG_STEP:
        waits = format.duration((sign.next_by - sign.seen_at).total_seconds())
        yield Problem(
            "wrong" if now > sign.stuck_at else "look",
            "processor",
            f"The processor was last seen {age} ago, and meant to go on after {waits}",
            "See whether `adventure process` runs, and start it if not; if it does, its log says at which step it is",
        )


def _tasks_missing(state: State, now: datetime, default_every: float) -> Iterator[Problem]:
    if (now - state.written_at).total_seconds() > overdue_after(state, default_every):
        yield Problem(
            "wrong",
            "tasks",
            f"The tasks last ran {format.age(state.written_at, now)} ago and should run every"
            f" {format.duration(state.every_sec or default_every)}",
            "Start `adventure tasks serve`; the end of its log says why it stopped",
        )


def _tasks_failed(state: State) -> Iterator[Problem]:
    for task in state.tasks.values():
        if task.outcome == "failed" and task.task == _RECONCILE:
            yield Problem(
                "wrong", task.task, task.message, f"After the repair, `adventure tasks run {_RECONCILE}` compares again"
            )
        elif task.outcome == "failed":
            times = f" {task.failures_in_a_row} times in a row" if task.failures_in_a_row > 1 else ""
            yield Problem(
                "wrong",
                task.task,
                f"{task.task} failed{times}: {task.message}",
                f"Mend that; the next run tries again, or `adventure tasks run {task.task}` does so now",
            )


def _stream(stream: StreamState, state: State, now: datetime, default_every: float) -> Iterator[Problem]:
    name = stream.stream
    if stream.damaged:
        yield Problem("wrong", name, f"{name}: {stream.damaged}", "Until then its later windows are loaded without it")
    waiting_sec = (now - stream.waiting_since).total_seconds() if stream.waiting_since else 0.0
    if waiting_sec > overdue_after(state, default_every):
        yield Problem(
            "wrong",
            name,
            f"{name}: {stream.windows_waiting:,} windows have waited to be loaded for {format.duration(waiting_sec)}",
            f"`adventure tasks run load_{name}` loads them, or says what is in the way",
        )
    if stream.watermark is None and not stream.windows_waiting:
        yield Problem("look", name, f"{name}: nothing has come yet", "`adventure process` reads its source")
    if stream.horizon and stream.last_loaded_at and stream.last_loaded_at - stream.horizon > _HELD_BACK:
        yield Problem(
            "look",
            name,
            f"{name}: when its last window was loaded, its horizon was"
            f" {format.duration((stream.last_loaded_at - stream.horizon).total_seconds())} behind",
            "A transaction is open that long at the source, or the window lay in the stage; the processor's log names"
            " the session",
        )
    kind = SOURCES.get(stream.source)
    if kind and kind.lookback_remedy and stream.mode and stream.mode.startswith("lookback"):
        yield Problem(
            "look",
            name,
            f"{name}: read by {stream.mode}; rows that commit later than the lookback are missed",
            kind.lookback_remedy,
        )


def _tests(state: State) -> Iterator[Problem]:
    for test in state.tests:
        rows = f" with {test.rows:,} rows" if test.rows else ""
        if test.outcome == "warn":
            yield Problem("look", "tests", f"Test {test.test} warns{rows}", "See the rows below")
        else:
            yield Problem(
                "wrong", "tests", f"{test.kind.capitalize()} {test.test} failed{rows}: {test.message}",
                "See the rows below; the models after it keep their last good state",
            )  # fmt: skip


def _rejected(state: State, now: datetime) -> Iterator[Problem]:
    for stream in state.streams:
        recent = [r for r in state.rejected if r.stream == stream.stream and now - r.last_at < _REJECTED_WITHIN]
        if recent:
            rows = sum(each.rows for each in recent)
            yield Problem(
                "look",
                stream.stream,
                f"{stream.stream}: {rows:,} row{'s were' if rows > 1 else ' was'} set aside that cannot be carried"
                f" exactly, the last {format.age(max(each.last_at for each in recent), now)} ago",
                "See them below; mend them at the source and they come again",
            )
