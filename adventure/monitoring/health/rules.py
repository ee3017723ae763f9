"""The rules. `find_problems` is the one judge of the pipeline's health."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from adventure.core.ages import long_age
from adventure.core.clock import overdue_after
from adventure.core.kinds import SOURCES
from adventure.monitoring.health.causes import in_order
from adventure.monitoring.health.problem import Problem
from adventure.monitoring.health.state import ObservedStream, Report, State, StreamState

_LONG_STEP = timedelta(minutes=1)
"""The processor sends a heartbeat every second, except during a single step of the source. A step longer than this is
reported as a warning."""
_HELD_BACK = timedelta(minutes=10)
"""A horizon this much older than its window was held back by an open transaction."""
_OBSERVED_FOR = timedelta(minutes=10)
"""Older observations are not judged: what they saw may have ended."""
_RECONCILE = "reconcile"
_MUCH_LOG = 1 << 30
"""From so many bytes of log on that a source keeps for us, its disk needs attention."""


def find_problems(state: State, lasting: Sequence[Problem] = ()) -> list[Problem]:
    """Return all problems: root causes first, errors before warnings, each followed by its consequences.

    Args:
        lasting: the problems of an earlier look at the warehouse, where this state has none; see `lasting_problems`.
    """
    return in_order(
        (
            *_sources(state),
            *_processor(state),
            *_tasks_overdue(state),
            *_tasks_failed(state),
            *(problem for stream in _observed_streams(state) for problem in _observed(stream, state)),
            *(problem for stream in state.report.streams for problem in _stream(stream, state)),
            *_tests(state),
            *_freshness(state),
            *lasting,
        )
    )


def lasting_problems(state: State) -> list[Problem]:
    """Return the problems that only the report shows: they last until the warehouse is read again."""
    seen_elsewhere = {replace(each, cause=None) for each in find_problems(replace(state, report=Report()))}
    found = (replace(each, cause=None) for each in find_problems(state))
    return [each for each in found if each not in seen_elsewhere]


def _observed_streams(state: State) -> tuple[ObservedStream, ...]:
    return state.observed.streams if state.observed and state.now - state.observed.at < _OBSERVED_FOR else ()


def _sources(state: State) -> Iterator[Problem]:
    seen = state.observed
    if seen is None or state.now - seen.at >= _OBSERVED_FOR:
        return
    # A failure that the processor reports in the same words also says since when.
    said = {failure.problem for failure in state.failures} if state.processor else set()
    if seen.warehouse:
        yield Problem("warehouse_unavailable", "error", seen.warehouse.problem, seen.warehouse.remedy)
    for source in seen.sources:
        if source.fault and source.fault.problem not in said:
            yield Problem("source_unavailable", "error", source.fault.problem, source.fault.remedy, source.streams)
        if source.stall:
            yield Problem(
                "horizon_stalled",
                "error",
                f"The horizon has not moved for {long_age(state.now - source.stall.since)}: {source.stall.blocker} has"
                " been in one transaction or statement since then. Newer rows wait",
                source.stall.remedy,
                source.streams,
            )
        if kept := source.kept:
            near_end = kept.safe_bytes is not None and kept.safe_bytes < kept.bytes / 3
            if kept.bytes > _MUCH_LOG or near_end:
                yield Problem(
                    "log_kept",
                    "warning",
                    f"{source.source} keeps {kept.bytes / 1e9:,.1f} GB of its log for the replication slot {kept.slot}"
                    + (f", and removes it after {kept.safe_bytes or 0:,} more bytes" if near_end else ""),
                    "Run `adventure process`, or `adventure stream remove NAME` for a stream that is not read any more",
                    source.streams,
                )
    faults = {source.fault.problem for source in seen.sources if source.fault} | said
    if seen.watermarks and seen.watermarks.problem not in faults:
        yield Problem("watermarks_unavailable", "error", seen.watermarks.problem, seen.watermarks.remedy)


def _processor(state: State) -> Iterator[Problem]:
    """Yield why the processor does not read. Without a heartbeat, it never ran or cannot be seen from here."""
    sign, now = state.processor, state.now
    if sign is None:
        return
    for failure in state.failures:
        retries = "" if sign.has_ended else ", and the processor retries"
        yield Problem(
            "processor_failing",
            "error",
            f"{', '.join(failure.streams)}: {failure.problem}. No rows are read since {failure.since:%H:%M} UTC"
            f" ({long_age(now - failure.since)}){retries}",
            failure.remedy or "Read the processor's log",
            failure.streams,
        )
    age = long_age(now - sign.seen_at)
    if sign.has_ended:
        yield Problem(
            "processor_stopped",
            "error",
            f"The processor stopped {age} ago. Newer rows are not read",
            "Start `adventure process`. The end of its log says why it stopped",
        )
    elif now > sign.stuck_at or now > sign.next_by + _LONG_STEP:
        waits = long_age(sign.next_by - sign.seen_at)
        yield Problem(
            "processor_stuck",
            "error" if now > sign.stuck_at else "warning",
            f"The processor was last seen {age} ago, but should have continued after {waits}",
            "Check whether `adventure process` is running, and start it if not. Its log shows the current step",
        )


def _tasks_overdue(state: State) -> Iterator[Problem]:
    written_at, interval = state.report.written_at, _interval(state)
    if written_at and (state.now - written_at).total_seconds() > overdue_after(interval):
        yield Problem(
            "tasks_overdue",
            "error",
            f"The tasks last ran {long_age(state.now - written_at)} ago, but should run every"
            f" {long_age(timedelta(seconds=interval))}",
            "Start `adventure tasks serve`. The end of its log says why it stopped",
        )


def _interval(state: State) -> float:
    return state.report.interval_sec or state.limits.tasks_interval_sec


def _tasks_failed(state: State) -> Iterator[Problem]:
    for task in state.report.tasks:
        if task.outcome != "failed":
            continue
        if task.task == _RECONCILE:
            # It runs once a day, so report its first failure.
            yield Problem(
                "reconcile_failed",
                "error",
                task.message,
                f"After the repair, run `adventure tasks run {_RECONCILE}` to compare again",
            )
        elif task.failures_in_a_row >= state.limits.task_failures:
            often = f" {task.failures_in_a_row:,} times in a row" if task.failures_in_a_row > 1 else ""
            yield Problem(
                "task_failed",
                "error",
                f"Task {task.task} failed{often}: {task.message.rstrip('.')}",
                f"Fix the cause. The next run tries again; `adventure tasks run {task.task}` tries now",
                _stream_of(task.task, state),
                task.task,
            )


def _stream_of(task: str, state: State) -> tuple[str, ...]:
    name = task.partition("_")[2]
    return (name,) if name in {stream.stream for stream in state.report.streams} else ()


def _observed(seen: ObservedStream, state: State) -> Iterator[Problem]:
    """Apply the rules on a stream's source, watermark and stage."""
    name = seen.stream
    if seen.refused:
        yield Problem("stream_refused", "error", seen.refused.problem, seen.refused.remedy, (name,))
    if seen.mismatch:
        yield Problem("watermark_mismatch", "error", seen.mismatch.problem, seen.mismatch.remedy, (name,))
    if seen.lost:
        start = f" --from {seen.lost.since.isoformat()}" if seen.lost.since else ""
        yield Problem(
            "window_lost",
            "error",
            f"{name}: its watermark is {seen.lost.watermark}, but neither the stage nor the warehouse holds"
            f" {seen.lost.rows}",
            f"Restore the lost data; or stop the processor, run `adventure stream reset {seen.stream}{start}` to"
            f" read it again, and after the next load run `adventure reconcile {seen.stream} --repair`",
            (name,),
        )
    if seen.unread_since:
        waits = state.now - seen.unread_since
        if waits.total_seconds() > state.limits.lag_sec + seen.unread_lag_sec:
            yield Problem(
                "rows_unread",
                "error",
                f"{name}: rows wait at the source since {seen.unread_since} ({long_age(waits)}), above the watermark",
                "Check that `adventure process` is running, and read its log",
                (name,),
            )


def _stream(stream: StreamState, state: State) -> Iterator[Problem]:
    """Apply the rules on a stream's stage and raw table."""
    name, now = stream.stream, state.now
    if stream.damaged:
        yield Problem(
            "window_damaged",
            "error",
            f"{name}: {stream.damaged}",
            stream.damaged_remedy or "Later windows are still loaded without it",
            (name,),
        )
    waits = now - stream.waiting_since if stream.waiting_since else timedelta(0)
    if waits.total_seconds() > (state.limits.waiting_sec or overdue_after(_interval(state))):
        yield Problem(
            "windows_waiting",
            "error",
            f"{name}: {stream.windows_waiting:,} windows wait to be loaded, the oldest for {long_age(waits)}",
            "Check that `adventure tasks serve` is running."
            f" `adventure tasks run load_{stream.stream}` loads them, or says what prevents it",
            (name,),
        )
    yield from _reading(stream, state)
    if stream.rejected_recently:
        rows = stream.rejected_recently
        yield Problem(
            "rows_rejected",
            "warning",
            f"{name}: {rows:,} row{'s were' if rows > 1 else ' was'} rejected in the last day, because a value cannot"
            " be converted exactly",
            f"See why: `adventure rejects {stream.stream}`. Fix them at"
            " the source, or the stream's types in pipeline.toml; then run"
            f" `adventure reconcile {stream.stream} --repair` and `adventure tasks run load_{stream.stream}`",
            (name,),
        )


def _reading(stream: StreamState, state: State) -> Iterator[Problem]:
    """Judge how the stream was read, by its loaded windows."""
    name = stream.stream
    # Where the source is observed, its unread rows are judged instead: an empty source is no problem.
    is_observed = any(seen.stream == name for seen in _observed_streams(state))
    if stream.watermark is None and not stream.windows_waiting and not is_observed:
        yield Problem(
            "stream_empty",
            "warning",
            f"{name}: no data has arrived yet",
            "Run `adventure process`, which reads the source, and then `adventure tasks run`",
            (name,),
        )
    if stream.horizon and stream.last_staged_at and stream.last_staged_at - stream.horizon > _HELD_BACK:
        yield Problem(
            "horizon_stalled",
            "warning",
            f"{name}: the horizon was {long_age(stream.last_staged_at - stream.horizon)} behind when the last window"
            " was staged",
            "A transaction was open that long at the source. The processor's log names the session: end its"
            " transaction",
            (name,),
        )
    kind = SOURCES.get(stream.source) or SOURCES.get(_kind_of(stream.source, state))
    if kind and kind.lookback_remedy and stream.mode and stream.mode.startswith("lookback"):
        yield Problem(
            "read_by_lookback",
            "warning",
            f"{name}: read by {stream.mode}. Rows that commit later than the lookback are missed",
            kind.lookback_remedy,
            (name,),
        )


def _kind_of(source: str, state: State) -> str:
    """Return the kind of a source with settings of its own; empty if the sources cannot be seen from here."""
    seen = state.observed.sources if state.observed else ()
    return next((each.kind for each in seen if each.source == source), "")


def _tests(state: State) -> Iterator[Problem]:
    for test in state.report.tests:
        rows = f" with {test.rows:,} rows" if test.rows else ""
        where = (
            f"Its rows: select * from {test.audit_table}" if test.audit_table else "The Pipeline page shows its rows"
        )
        if test.outcome == "warn":
            yield Problem(
                "test_warned",
                "warning",
                f"Test {test.test} warned{rows}",
                f"{where}. Fix them at the source, then run `adventure build`",
                subject=test.test,
            )
        else:
            yield Problem(
                "test_failed",
                "error",
                f"{test.kind.capitalize()} {test.test} failed{rows}: {test.message.rstrip('.')}",
                f"{where}. Fix them at the source, then run `adventure build`. Downstream models keep their last valid"
                " state",
                subject=test.test,
            )


def _freshness(state: State) -> Iterator[Problem]:
    """Judge the freshness that the dbt project declares for its sources, as `dbt source freshness` does."""
    streams = {stream.raw_table.partition(".")[2]: stream.stream for stream in state.report.streams}
    for each in state.report.freshness:
        if each.loaded_at is None:
            continue
        age = state.now - each.loaded_at
        is_error = each.error_sec is not None and age.total_seconds() > each.error_sec
        if is_error or (each.warn_sec is not None and age.total_seconds() > each.warn_sec):
            limit = each.error_sec if is_error else each.warn_sec
            name = streams.get(each.source)
            yield Problem(
                "data_stale",
                "error" if is_error else "warning",
                f"{name or each.source}: the newest row was loaded {long_age(age)} ago, and the dbt project expects one"
                f" every {long_age(timedelta(seconds=limit or 0))}",
                "Check that there are new rows at the source. If so, `adventure process` and `adventure tasks run`"
                " bring them; if not, raise the freshness of that source in the dbt project",
                (name,) if name else (),
                each.source,
            )
