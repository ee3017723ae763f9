"""What is wrong with a running pipeline, in plain sentences, for `adventure status` and whoever is woken by it.

It only looks. What each finding means is in docs/operations.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from adventure.core import heartbeat
from adventure.core.clock import utc_now
from adventure.core.errors import AdventureError, SourceRefused, SourceShapeError
from adventure.core.settings import Settings
from adventure.core.stage import damaged_windows
from adventure.core.streams import Stream
from adventure.destinations.common.records import loaded_spans, loaded_window_ids
from adventure.destinations.warehouse import Warehouse
from adventure.factory import open_probe, open_stage
from adventure.monitoring.gaps import find_gaps
from adventure.processor.owner import origin_mismatch, owner_mismatch
from adventure.processor.state import read_watermarks
from adventure.reconcile.recent import TASK as RECONCILE
from adventure.sources.probe import Probe

RECENT = timedelta(days=1)
"""Rejects that were loaded before that are history, not news."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what, and what to do."""

    sentence: str
    remedy: str


def find_problems(settings: Settings, streams: Sequence[Stream], warehouse: Warehouse) -> list[Problem]:
    """All of them; a source or state that cannot be read is one itself.

    Raises:
        WarehouseError: the warehouse cannot be read.
    """
    found = [
        *_of_stages(settings, streams, warehouse),
        *_of_tasks(settings, warehouse),
        *_of_rejects(streams, warehouse),
        *_of_processor(settings),
    ]
    for kind in dict.fromkeys(stream.source for stream in streams):
        found += _caught(_of_source(settings, kind, [stream for stream in streams if stream.source == kind]))
    found += _caught(_of_windows(settings, streams, warehouse))
    return list(dict.fromkeys(found))


def _caught(look: Iterator[Problem]) -> Iterator[Problem]:
    """Yield what a look finds; an error that ends it is one more problem."""
    try:
        yield from look
    except AdventureError as error:
        yield Problem(error.problem, error.remedy)


def _of_processor(settings: Settings) -> Iterator[Problem]:
    """One that was told to stop is no problem; what is sold meanwhile will be, at the source."""
    sign, now = heartbeat.read(settings.processor_heartbeat), utc_now()
    if sign and not sign.has_ended and now > sign.stuck_at:
        yield Problem(
            f"The processor was last seen {_age(now - sign.seen_at)} ago, and meant to go on within"
            f" {_age(sign.next_by - sign.seen_at)}",
            "See that `adventure process` runs, and what its log says",
        )


def _of_source(settings: Settings, kind: str, streams: Sequence[Stream]) -> Iterator[Problem]:
    """What is wrong at one source, which all of these streams are read from."""
    with open_probe(kind, settings) as probe:
        yield from _caught(_of_horizon(settings, probe))
        yield from _caught(_of_unread(settings, probe, streams))
        yield from _caught(_of_origins(settings, probe, streams))


def _of_horizon(settings: Settings, probe: Probe) -> Iterator[Problem]:
    if stall := probe.stall(timedelta(seconds=settings.alert_lag_sec)):
        yield Problem(
            f"The horizon has not moved for {_age(stall.age)}: {stall.blocker} has been in one transaction"
            " or statement since, and newer rows wait",
            stall.remedy,
        )


def _of_unread(settings: Settings, probe: Probe, streams: Sequence[Stream]) -> Iterator[Problem]:
    """Rows that are at the source for too long and that no window has brought."""
    marks = read_watermarks(settings)
    for stream in streams:
        try:
            first = probe.unread(stream, marks.get(stream.name))
        except (SourceRefused, SourceShapeError) as error:
            yield Problem(error.problem, error.remedy)
            continue
        if first and (waits := utc_now() - first.cursor) > timedelta(seconds=settings.alert_lag_sec) + first.lag:
            yield Problem(
                f"{stream.name}: rows wait at the source since {first.cursor} ({_age(waits)}), above the watermark",
                "See that `adventure process` runs, and what its log says",
            )


def _of_stages(settings: Settings, streams: Sequence[Stream], warehouse: Warehouse) -> Iterator[Problem]:
    stage, now = open_stage(settings), utc_now()
    for stream in streams:
        windows = stage.windows(stream.stage)
        loaded = warehouse.loaded(windows)
        waiting = [window for window in windows if window.id not in loaded]
        oldest = min((window.staged_at for window in waiting), default=now)
        if now - oldest > timedelta(seconds=settings.alert_waiting_sec):
            yield Problem(
                f"{stream.name}: {len(waiting):,} windows wait to be loaded, the oldest for {_age(now - oldest)}: its"
                f" stage {stream.stage} grows",
                "See that `adventure tasks serve` runs;"
                f" `adventure tasks run load_{stream.name}` says what is in the way",
            )
        for error in damaged_windows(stage, stream):
            yield Problem(f"{stream.name}: {error.problem}", error.remedy)


def _of_windows(settings: Settings, streams: Sequence[Stream], warehouse: Warehouse) -> Iterator[Problem]:
    """What a watermark says was read, and neither the stage nor the ledger holds; or a watermark of another stage."""
    marks, stage = read_watermarks(settings), open_stage(settings)
    # In this order, in which windows move: none is overlooked.
    staged = {stream.name: stage.windows(stream.stage) for stream in streams if stream.name in marks}
    spans = loaded_spans(warehouse.query)
    ids = loaded_window_ids(warehouse.query, [mark.window_id for mark in marks.values() if mark.window_id])
    for stream in streams:
        if stream.name not in marks:
            continue
        mark, windows = marks[stream.name], staged[stream.name]
        if mismatch := owner_mismatch(mark, stream, stage.identity()):
            yield Problem(mismatch.problem, mismatch.remedy)
        if stage.damaged(stream.stage):
            # They are reported, and what they cover is not known.
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
                f"{stream.name}: its watermark is {mark.value}, and neither the stage nor the warehouse holds {lost}",
                f"Restore what was lost; or stop the processor and run `adventure stream reset {stream.name}{where}`,"
                f" which reads it again, and after the next load `adventure reconcile {stream.name} --repair`",
            )


def _of_origins(settings: Settings, probe: Probe, streams: Sequence[Stream]) -> Iterator[Problem]:
    """Watermarks that were reached in another database, or in a later state of it."""
    marks = read_watermarks(settings)
    for stream in streams:
        if mismatch := origin_mismatch(marks.get(stream.name), stream, probe.origin(stream)):
            yield Problem(mismatch.problem, mismatch.remedy)


def _of_tasks(settings: Settings, warehouse: Warehouse) -> Iterator[Problem]:
    for task, (times, message) in warehouse.failures_in_a_row().items():
        if task == RECONCILE:
            # It runs once a day: its first failure counts.
            yield Problem(message, f"After the repair, `adventure tasks run {RECONCILE}` compares again")
        elif times >= settings.alert_failures:
            yield Problem(
                f"Task {task} failed {times:,} times in a row: {message}", f"`adventure tasks run {task}` tries it"
            )


def _of_rejects(streams: Sequence[Stream], warehouse: Warehouse) -> Iterator[Problem]:
    for stream in streams:
        if rows := warehouse.outstanding_rejects(stream, utc_now() - RECENT):
            yield Problem(
                f"{stream.name}: {rows:,} rows were rejected in the last day, because they cannot be converted exactly",
                f"See why: select key, reason from raw_ext.rejected_rows where stream = '{stream.name}'. Fix them at"
                " the source, or the stream's types in pipeline.toml; then run"
                f" `adventure reconcile {stream.name} --repair` and `adventure tasks run load_{stream.name}`",
            )


def _age(span: timedelta) -> str:
    seconds = span.total_seconds()
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
    )
