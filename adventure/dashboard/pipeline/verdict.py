"""Find problems in the pipeline's state, each with its fix. Plain functions; no Streamlit, no SQL."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from adventure.core.ages import long_age
from adventure.core.clock import overdue_after
from adventure.core.kinds import SOURCES
from adventure.dashboard.pipeline.state import State, StreamState
from adventure.monitoring.processor import Problem, processor_problems

if TYPE_CHECKING:
    from adventure.core.failures import Failure
    from adventure.core.heartbeat import Heartbeat

_HELD_BACK = timedelta(minutes=10)
"""A horizon this much older than its window was held back by an open transaction."""
_REJECTED_WITHIN = timedelta(days=1)
_RECONCILE = "reconcile"


def problems(
    state: State,
    processor: "Heartbeat | None",
    now: datetime,
    default_interval: float,
    failures: "Sequence[Failure]" = (),
) -> list[Problem]:
    """Return all problems, errors first.

    Args:
        processor: its last heartbeat; None if it is not visible from here, which is no problem.
        failures: why the processor cannot read streams.
        default_interval: seconds between two runs of the tasks, used if the report does not say.
    """
    found = [
        *processor_problems(processor, failures, now),
        *_tasks_missing(state, now, default_interval),
        *_tasks_failed(state),
        *(problem for stream in state.streams for problem in _stream(stream, state, now, default_interval)),
        *_tests(state),
        *_rejected(state, now),
    ]
    return sorted(found, key=lambda problem: problem.severity != "error")


def _tasks_missing(state: State, now: datetime, default_interval: float) -> Iterator[Problem]:
    if (now - state.written_at).total_seconds() > overdue_after(state.interval_sec or default_interval):
        yield Problem(
            "error",
            "tasks",
            f"The tasks last ran {long_age(now - state.written_at)} ago, but should run every"
            f" {long_age(timedelta(seconds=state.interval_sec or default_interval))}",
            "Start `adventure tasks serve`. The end of its log says why it stopped",
        )


def _tasks_failed(state: State) -> Iterator[Problem]:
    for task in state.tasks.values():
        if task.outcome == "failed" and task.task == _RECONCILE:
            yield Problem(
                "error",
                task.task,
                task.message,
                f"After the repair, run `adventure tasks run {_RECONCILE}` to compare again",
            )
        elif task.outcome == "failed":
            times = f" {task.failures_in_a_row} times in a row" if task.failures_in_a_row > 1 else ""
            yield Problem(
                "error",
                task.task,
                f"{task.task} failed{times}: {task.message}",
                f"Fix the cause. The next run tries again; `adventure tasks run {task.task}` tries now",
            )


def _stream(stream: StreamState, state: State, now: datetime, default_interval: float) -> Iterator[Problem]:
    name = stream.stream
    if stream.damaged:
        yield Problem("error", name, f"{name}: {stream.damaged}", "Later windows are still loaded without it")
    waiting_sec = (now - stream.waiting_since).total_seconds() if stream.waiting_since else 0.0
    if waiting_sec > overdue_after(state.interval_sec or default_interval):
        yield Problem(
            "error",
            name,
            f"{name}: {stream.windows_waiting:,} windows have waited to be loaded for"
            f" {long_age(timedelta(seconds=waiting_sec))}",
            f"Run `adventure tasks run load_{name}`. It loads them, or says what prevents it",
        )
    if stream.watermark is None and not stream.windows_waiting:
        yield Problem(
            "warning", name, f"{name}: no data has arrived yet", "Run `adventure process`, which reads the source"
        )
    if stream.horizon and stream.last_loaded_at and stream.last_loaded_at - stream.horizon > _HELD_BACK:
        behind = long_age(stream.last_loaded_at - stream.horizon)
        yield Problem(
            "warning",
            name,
            f"{name}: the horizon was {behind} behind when the last window was loaded",
            "Either a transaction was open that long at the source, or the window waited in the stage. The processor's"
            " log names the session: end its transaction",
        )
    kind = SOURCES.get(stream.source)
    if kind and kind.lookback_remedy and stream.mode and stream.mode.startswith("lookback"):
        yield Problem(
            "warning",
            name,
            f"{name}: read by {stream.mode}. Rows that commit later than the lookback are missed",
            kind.lookback_remedy,
        )


def _tests(state: State) -> Iterator[Problem]:
    for test in state.tests:
        rows = f" with {test.rows:,} rows" if test.rows else ""
        if test.outcome == "warn":
            yield Problem("warning", "tests", f"Test {test.test} warned{rows}", "See the rows below")
        else:
            yield Problem(
                "error", "tests", f"{test.kind.capitalize()} {test.test} failed{rows}: {test.message}",
                "See the rows below. Downstream models keep their last valid state",
            )  # fmt: skip


def _rejected(state: State, now: datetime) -> Iterator[Problem]:
    for stream in state.streams:
        recent = [r for r in state.rejected if r.stream == stream.stream and now - r.last_at < _REJECTED_WITHIN]
        if recent:
            rows = sum(each.rows for each in recent)
            yield Problem(
                "warning",
                stream.stream,
                f"{stream.stream}: rejected {rows:,} row{'s' if rows > 1 else ''} that cannot be converted exactly,"
                f" most recently {long_age(now - max(each.last_at for each in recent))} ago",
                "See the rows below and fix them at the source. Fixed rows are read again",
            )
