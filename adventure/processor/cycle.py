"""One cycle: open a snapshot of each source, and extract one window of each stream.

The steps of a window, in their order: finish the files → stage them → stage window.json → move the watermark.
"""

import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from adventure.core.clock import later, utc_now
from adventure.core.errors import (
    AdventureError,
    SourceError,
    SourceRefused,
    SourceShapeError,
    StageError,
    WatermarkMismatch,
)
from adventure.core.faults import Point, reached
from adventure.core.log import get_logger
from adventure.core.manifest import Window
from adventure.core.stage import Stage
from adventure.core.streams import Stream
from adventure.core.watermark import Origin
from adventure.processor.owner import origin_mismatch, owner_mismatch, owner_of, waiting_for
from adventure.processor.state import State
from adventure.sources.source import Extract, Source, SourceSnapshot

log = get_logger()


@dataclass(frozen=True)
class StreamReport:
    """What one cycle did for one stream."""

    stream: str
    window: Window | None
    """None when there was nothing new."""
    rows_staged: int
    rows_rejected: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class CycleReport:
    """What one cycle did, in the streams' order."""

    streams: tuple[StreamReport, ...]
    failures: Mapping[str, AdventureError]
    """What kept a stream from its windows, by its name; streams of one source may share an error."""
    horizons: Mapping[str, datetime] = field(default_factory=dict)
    """How far each source could be read, by `Stream.source`."""
    refused: Collection[str] = ()
    """Streams among the failures that alone could not be read: nothing of them was staged, and their source works."""


@dataclass(frozen=True)
class Pipeline:
    """All that a cycle works with."""

    streams: tuple[Stream, ...]
    sources: dict[str, Source]
    """Those that are open, by `Stream.source`."""
    stage: Stage
    state: State
    temporary: Path
    unavailable: dict[str, SourceError] = field(default_factory=dict)
    """Why other sources could not be opened, by `Stream.source`; a cycle reports it, and moves the other streams."""
    refused: Mapping[str, WatermarkMismatch] = field(default_factory=dict)
    """Streams, by name, whose watermark is not theirs."""

    def owner(self, stream: Stream) -> dict[str, str]:
        """Return what the watermark of the stream belongs to."""
        return owner_of(stream, self.stage.identity())


def run_cycle(pipeline: Pipeline) -> CycleReport:
    """One window of each stream. A source or stream that fails does not keep the others from theirs."""
    reports: list[StreamReport] = []
    failures: dict[str, AdventureError] = {
        stream.name: pipeline.unavailable[stream.source]
        for stream in pipeline.streams
        if stream.source in pipeline.unavailable
    }
    failures |= pipeline.refused
    horizons: dict[str, datetime] = {}
    refused: set[str] = set()
    for kind, source in pipeline.sources.items():
        streams = [s for s in pipeline.streams if s.source == kind and s.name not in pipeline.refused]
        waiting = {stream.name for stream in streams}
        try:
            with source.open_snapshot(streams, pipeline.state.watermarks) as snapshot:
                failures |= {name: _named(name, error) for name, error in snapshot.unreadable.items()}
                refused |= set(snapshot.unreadable)
                horizons[kind] = snapshot.horizon
                for stream in streams:
                    if stream.name not in snapshot.unreadable:
                        origin = snapshot.origin(stream)
                        if mismatch := _mismatch(pipeline, stream, origin, failures):
                            failures[stream.name] = mismatch
                            refused |= {stream.name} if refused.intersection(stream.references) else set()
                        else:
                            try:
                                for report in _extract_windows(pipeline, source, snapshot, stream, origin):
                                    reports.append(report)
                            except _NotRead as not_read:
                                failures[stream.name] = _named(stream.name, not_read.error)
                                refused.add(stream.name)
                    waiting.remove(stream.name)
        except AdventureError as error:
            # The source's later streams wait as well: a line must not be staged when its order could not be.
            failures |= dict.fromkeys(waiting or [stream.name for stream in streams], error)
    return CycleReport(tuple(reports), failures, horizons, refused)


class _NotRead(Exception):
    """One stream could not be read, and its source goes on."""

    def __init__(self, error: AdventureError) -> None:
        super().__init__(str(error))
        self.error = error


def _named(stream: str, error: AdventureError) -> AdventureError:
    """Return the error with the stream's name in it."""
    if stream in error.problem or not isinstance(error, SourceError):
        return error
    return type(error)(f"stream {stream}: {error.problem}", error.remedy)


def _mismatch(
    pipeline: Pipeline, stream: Stream, origin: Origin, failures: Mapping[str, AdventureError]
) -> AdventureError | None:
    """Return why the stream must not be read from this source into this stage."""
    mark = pipeline.state.watermarks.get(stream.name)
    if mismatch := origin_mismatch(mark, stream, origin):
        if mismatch.lasting:
            pipeline.state.refuse(stream, mismatch)
        return mismatch
    # The stage's folder may have been replaced since the pipeline was opened.
    if mismatch := owner_mismatch(mark, stream, pipeline.stage.identity()):
        return mismatch
    if mark and None not in (mark.origin.timeline, origin.timeline) and mark.origin.timeline != origin.timeline:
        log.warning(
            f"{stream.name}: the source is on timeline {origin.timeline}, and was on {mark.origin.timeline}: a standby"
            f" took over, or a backup was restored. After a restore, run `adventure reconcile {stream.name}`",
            stream=stream.name,
        )
    return waiting_for(stream, failures)


def _extract_windows(
    pipeline: Pipeline, source: Source, snapshot: SourceSnapshot, stream: Stream, origin: Origin
) -> Iterator[StreamReport]:
    """All that the snapshot has of one stream: one window, or as many as keep each within bounds."""
    report, more = _extract_window(pipeline, source, snapshot, stream, origin)
    yield report
    while more:
        report, more = _extract_window(pipeline, source, snapshot, stream, origin)
        if report.window:
            yield report


def _extract_window(
    pipeline: Pipeline, source: Source, snapshot: SourceSnapshot, stream: Stream, origin: Origin
) -> tuple[StreamReport, bool]:
    """One stream's rows from its watermark to the snapshot's horizon: staged whole, then the watermark moved.

    Returns:
        What was done, and whether the snapshot has more.
    """
    begun = time.monotonic()
    mark = pipeline.state.watermarks.get(stream.name)
    folder = pipeline.temporary / stream.name
    # What a killed process left. Whoever writes a file there makes the folder: an idle cycle writes nothing at all.
    shutil.rmtree(folder, ignore_errors=True)
    try:
        extract = snapshot.extract(stream, folder)
    except AdventureError as error:
        if snapshot.goes_on_after(error):
            raise _NotRead(error) from error
        raise
    if not extract.all_files:
        mode = extract.mode or snapshot.mode
        pipeline.state.save_position(stream, mode, extract.position, pipeline.owner(stream), origin)
        return StreamReport(stream.name, None, 0, 0, 0, time.monotonic() - begun), extract.more

    reached(Point.FILES_FINISHED, stream.name)
    window = _window(stream, mark.value if mark else None, snapshot, extract)
    for file in extract.all_files:
        pipeline.stage.put(stream.stage, window.id, file.path)
        reached(Point.FILE_STAGED, stream.name)
    pipeline.stage.commit(window)
    reached(Point.WINDOW_STAGED, stream.name)
    pipeline.state.advance(window, pipeline.owner(stream), origin)
    reached(Point.WATERMARK_MOVED, stream.name)
    source.mark_staged(stream, window.high)
    shutil.rmtree(folder, ignore_errors=True)

    report = StreamReport(
        stream.name,
        window,
        window.rows,
        window.rejected,
        sum(file.bytes for file in window.all_files),
        time.monotonic() - begun,
    )
    _log_window(window, report)
    return report, extract.more


def _window(stream: Stream, low: datetime | None, snapshot: SourceSnapshot, extract: Extract) -> Window:
    """Return the window. Its end comes from the rows, never from the local clock, so rows of slow clocks are kept."""
    # Without a cursor in the window, rows that others refer to or that are set aside make it: the watermark stays. In a
    # first window no row told yet how coarse the cursor is: the next one reads from two days below.
    end = snapshot.end(stream)
    high = low or end - timedelta(days=2)
    if extract.last_cursor is not None:
        high = min(end, later(extract.last_cursor, snapshot.tick))
    if low:
        # Late rows alone lie below the watermark, which never goes back. Where the order of the windows is the order
        # of the changes, each window has a `high` of its own.
        high = max(high, later(low, timedelta(microseconds=1)) if extract.ordered else low)
    return Window(
        stream=stream.name,
        stage=stream.stage,
        low=low,
        high=high,
        run_id=secrets.token_hex(4),
        files=tuple(file.staged() for file in extract.files),
        rejects=extract.rejects.staged() if extract.rejects else None,
        deletes=extract.deletes.staged() if extract.deletes else None,
        columns=extract.columns,
        staged_at=utc_now(),
        horizon=snapshot.horizon + max(timedelta(0), high - end),
        mode=extract.mode or snapshot.mode,
        position=extract.position,
        notes=extract.notes,
    )


def recover(state: State, stage: Stage, stream: Stream) -> None:
    """Takes over windows that are whole but whose watermark was not moved, and discards those that are not whole.

    To be called once for each opening of the state, before the first cycle. That is enough: the state falls behind
    the stage only between `commit` and `move`; whoever is killed there, or fails there, opens the state again before
    the next cycle.

    Raises:
        SourceError: the state database failed.
        StageUnwritable: what is not whole cannot be removed.
    """
    reset_at = state.resets.get(stream.name, datetime.min)
    for window in stage.windows(stream.stage):
        mark = state.watermarks.get(stream.name)
        low = mark.value if mark else None
        is_next = window.stream == stream.name and window.low == low and (low is None or window.high > low)
        # A stream that was reset is read again, also where the stage holds what was read before.
        if is_next and window.staged_at > reset_at:
            state.advance(window, owner_of(stream, stage.identity()))
            reached(Point.WATERMARK_MOVED, stream.name)
            log.warning(
                f"{stream.name}: recovered {stream.stage}/{window.id} ({window.rows:,} rows), which an interrupted"
                " cycle had staged",
                stream=stream.name,
                window=window.id,
            )
    with state.undisturbed(stream) as undisturbed:
        # What a repair is staging is not whole yet; what a killed one left goes at the next opening.
        if undisturbed and (discarded := stage.discard_unfinished(stream.stage)):
            log.warning(f"{stream.name}: discarded {discarded} unfinished window(s); their rows are read again")


def _log_window(window: Window, report: StreamReport) -> None:
    since = f"since {window.low}" if window.low else "in the first window"
    gone = f", {window.deletes.rows:,} deleted," if window.deletes else ""
    log.info(f"{window.stream}: {window.rows:,} new rows{gone} {since}", stream=window.stream, rows=window.rows)
    names = ", ".join(f"{window.stage}/{window.id}/{file.name}" for file in window.files or window.all_files)
    log.info(
        f"{window.stream}: staged {names} ({report.bytes / 1e3:,.0f} kB, {report.seconds:.2f} s, up to {window.high})",
        stream=window.stream,
        window=window.id,
        bytes=report.bytes,
        seconds=round(report.seconds, 3),
    )
    for note, text in window.notes.items():
        log.warning(f"{window.stream}: {note}: {text}", stream=window.stream)
    if window.rejected:
        log.warning(
            f"{window.stream}: rejected {window.rejected:,} rows that cannot be converted exactly; see"
            " raw_ext.rejected_rows after the next load",
            stream=window.stream,
            rejected=window.rejected,
        )


def retryable(error: AdventureError) -> bool:
    """Return whether the processor goes on: the next cycle may succeed, or the error concerns one stream alone."""
    goes_on = isinstance(error, SourceError | StageError | WatermarkMismatch)
    return goes_on and not isinstance(error, SourceRefused | SourceShapeError)
