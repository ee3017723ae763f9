"""Find problems of a running pipeline, for `adventure status` and its operator.

This module only reads. docs/operations.md explains each problem.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from adventure.core import failures, heartbeat
from adventure.core.ages import short_age
from adventure.core.clock import utc_now
from adventure.core.errors import AdventureError, SourceRefused, SourceShapeError
from adventure.core.settings import Settings
from adventure.core.stage import damaged_windows
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.destinations.warehouse import Ledger, RawTables, TaskHistory, Warehouse
from adventure.factory import open_probe, open_stage
from adventure.monitoring.gaps import find_gaps
from adventure.monitoring.processor import processor_problems
from adventure.processor.owner import origin_mismatch, owner_mismatch
from adventure.processor.state import read_watermarks
from adventure.reconcile.recent import TASK as RECONCILE
from adventure.sources.probe import Probe

RECENT = timedelta(days=1)
"""Older rejects are not reported."""


@dataclass(frozen=True)
class Problem:
    """One problem and its fix."""

    sentence: str
    remedy: str


def find_problems(settings: Settings, streams: Sequence[Stream], warehouse: Warehouse) -> list[Problem]:
    """Return all problems. A source or state that cannot be read is a problem too.

    Raises:
        WarehouseError: the warehouse cannot be read.
    """
    found = [
        *_processor_problems(settings),
        *_stage_problems(settings, streams, warehouse),
        *_task_problems(settings, warehouse),
        *_reject_problems(streams, warehouse),
    ]
    # At the same time: a database that does not answer takes seconds.
    with ThreadPoolExecutor(max_workers=4) as pool:
        asked = [
            pool.submit(_each, _source_problems(settings, kind, [s for s in streams if s.source == kind]))
            for kind in dict.fromkeys(stream.source for stream in streams)
        ]
        found += _each(_window_problems(settings, streams, warehouse))
        for answer in asked:
            found += answer.result()
    return list(dict.fromkeys(found))


def _each(check: Iterator[Problem]) -> list[Problem]:
    return list(_caught(check))


def _caught(check: Iterator[Problem]) -> Iterator[Problem]:
    """Yield the problems of a check. An error that ends the check is one more problem."""
    try:
        yield from check
    except AdventureError as error:
        yield Problem(error.problem, error.remedy)


def _processor_problems(settings: Settings) -> Iterator[Problem]:
    """Apply the rules on the processor, as the Pipeline page does."""
    sign, reported = heartbeat.read(settings.processor_heartbeat), failures.read(settings.processor_failures)
    for found in processor_problems(sign, reported, utc_now()):
        yield Problem(found.message, found.fix)


def _source_problems(settings: Settings, kind: str, streams: Sequence[Stream]) -> Iterator[Problem]:
    """Check one source, which all of these streams are read from."""
    with open_probe(kind, settings, brief=True) as probe:
        yield from _caught(_horizon_problems(settings, probe))
        marks = read_watermarks(settings, brief=True)
        yield from _caught(_unread_problems(settings, probe, streams, marks))
        yield from _caught(_origin_problems(probe, streams, marks))


def _horizon_problems(settings: Settings, probe: Probe) -> Iterator[Problem]:
    if stall := probe.stall(timedelta(seconds=settings.alert_lag_sec)):
        yield Problem(
            f"The horizon has not moved for {short_age(stall.age)}: {stall.blocker} has been in one transaction"
            " or statement since then. Newer rows wait",
            stall.remedy,
        )


def _unread_problems(
    settings: Settings, probe: Probe, streams: Sequence[Stream], marks: Mapping[str, Watermark]
) -> Iterator[Problem]:
    """Check for rows that have been at the source too long without being in a window."""
    for stream in streams:
        try:
            first = probe.unread(stream, marks.get(stream.name))
        except (SourceRefused, SourceShapeError) as error:
            yield Problem(error.problem, error.remedy)
            continue
        if first and (waits := utc_now() - first.cursor) > timedelta(seconds=settings.alert_lag_sec) + first.lag:
            yield Problem(
                f"{stream.name}: rows wait at the source since {first.cursor} ({short_age(waits)}),"
                " above the watermark",
                "Check that `adventure process` is running, and read its log",
            )


def _stage_problems(settings: Settings, streams: Sequence[Stream], ledger: Ledger) -> Iterator[Problem]:
    stage, now = open_stage(settings), utc_now()
    for stream in streams:
        windows = stage.windows(stream.stage)
        loaded = ledger.loaded(windows)
        waiting = [window for window in windows if window.id not in loaded]
        oldest = min((window.staged_at for window in waiting), default=now)
        if now - oldest > timedelta(seconds=settings.waiting_limit_sec):
            yield Problem(
                f"{stream.name}: {len(waiting):,} windows wait to be loaded, the oldest for {short_age(now - oldest)}."
                f" The stage {stream.stage} is growing",
                "Check that `adventure tasks serve` is running."
                f" `adventure tasks run load_{stream.name}` says what prevents the load",
            )
        for error in damaged_windows(stage, stream):
            yield Problem(f"{stream.name}: {error.problem}", error.remedy)


def _window_problems(settings: Settings, streams: Sequence[Stream], ledger: Ledger) -> Iterator[Problem]:
    """Check that windows cover everything below each watermark, and that the watermark belongs to this stage."""
    marks, stage = read_watermarks(settings, brief=True), open_stage(settings)
    # Read the stage before the ledger: windows move in this direction, so none is missed.
    staged = {stream.name: stage.windows(stream.stage) for stream in streams if stream.name in marks}
    spans = ledger.loaded_spans()
    ids = ledger.loaded_window_ids(mark.window_id for mark in marks.values() if mark.window_id)
    for stream in streams:
        if stream.name not in marks:
            continue
        mark, windows = marks[stream.name], staged[stream.name]
        if mismatch := owner_mismatch(mark, stream, stage.identity()):
            yield Problem(mismatch.problem, mismatch.remedy)
        if stage.damaged(stream.stage):
            # Damaged windows are reported elsewhere, and the span that they cover is unknown.
            continue
        gaps = find_gaps(mark, windows, spans.get(stream.name, []))
        lost, since = "", mark.value if mark.window_id else None
        if gaps:
            lost, since = ", ".join(map(str, gaps)), gaps[0].low
        elif mark.window_id and mark.window_id not in {window.id for window in windows} | ids:
            lost = f"the window {mark.window_id}"
        if lost:
            where = f" --from {since.isoformat()}" if since else ""
            yield Problem(
                f"{stream.name}: its watermark is {mark.value}, but neither the stage nor the warehouse holds {lost}",
                f"Restore the lost data; or stop the processor, run `adventure stream reset {stream.name}{where}` to"
                f" read it again, and after the next load run `adventure reconcile {stream.name} --repair`",
            )


def _origin_problems(probe: Probe, streams: Sequence[Stream], marks: Mapping[str, Watermark]) -> Iterator[Problem]:
    """Check for watermarks from another database, or from a later state of this one."""
    for stream in streams:
        if mismatch := origin_mismatch(marks.get(stream.name), stream, probe.origin(stream)):
            yield Problem(mismatch.problem, mismatch.remedy)


def _task_problems(settings: Settings, history: TaskHistory) -> Iterator[Problem]:
    for task, (times, message) in history.failures_in_a_row().items():
        if task == RECONCILE:
            # It runs once a day, so report its first failure.
            yield Problem(message, f"After the repair, run `adventure tasks run {RECONCILE}` to compare again")
        elif times >= settings.alert_failures:
            often = f" {times:,} times in a row" if times > 1 else ""
            yield Problem(
                f"Task {task} failed{often}: {message}",
                f"Fix the cause, then run `adventure tasks run {task}`",
            )


def _reject_problems(streams: Sequence[Stream], raw_tables: RawTables) -> Iterator[Problem]:
    for stream in streams:
        if rows := raw_tables.outstanding_rejects(stream, utc_now() - RECENT):
            yield Problem(
                f"{stream.name}: {rows:,} rows were rejected in the last day, because they cannot be converted exactly",
                f"See why: select key, reason from raw_ext.rejected_rows where stream = '{stream.name}'. Fix them at"
                " the source, or the stream's types in pipeline.toml; then run"
                f" `adventure reconcile {stream.name} --repair` and `adventure tasks run load_{stream.name}`",
            )
