"""Run one cycle: open a snapshot of each source, and extract one window of each stream.

The steps of a window are: finish the files → stage them → stage window.json → advance the watermark. They run on a
thread while the next stream is read. At the end of the cycle the windows are announced to the loader, once for each
stage.
"""

import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
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
from adventure.processor.report import CycleReport, StreamReport, log_window
from adventure.processor.staging import Staging
from adventure.processor.state import State
from adventure.sources.source import Extract, Source, SourceSnapshot

log = get_logger()


@dataclass(frozen=True)
class Pipeline:
    """The open resources of a cycle."""

    streams: tuple[Stream, ...]
    sources: dict[str, Source]
    """The open sources, by `Stream.source`."""
    stage: Stage
    state: State
    temporary: Path
    unavailable: dict[str, SourceError] = field(default_factory=dict)
    """Why a source could not be opened, by `Stream.source`. A cycle reports it and extracts the other streams."""
    refused: Mapping[str, WatermarkMismatch] = field(default_factory=dict)
    """Streams, by name, whose watermark belongs to another source or stage."""
    unannounced: set[str] = field(default_factory=set)
    """Stages with windows that the loader may not see yet. The end of a cycle announces them."""

    def owner(self, stream: Stream) -> dict[str, str]:
        """Return the table, cursor and stage that the stream's watermark belongs to; see `owner_of`."""
        return owner_of(stream, self.stage.identity())


def run_cycle(pipeline: Pipeline) -> CycleReport:
    """Extract the new rows of each stream. If a source or stream fails, the others are still extracted."""
    reports: list[StreamReport] = []
    failures: dict[str, AdventureError] = {
        stream.name: pipeline.unavailable[stream.source]
        for stream in pipeline.streams
        if stream.source in pipeline.unavailable
    }
    failures |= pipeline.refused
    horizons: dict[str, datetime] = {}
    refused: set[str] = set()
    for name, source in pipeline.sources.items():
        streams = [s for s in pipeline.streams if s.source == name and s.name not in pipeline.refused]
        waiting = {stream.name for stream in streams}
        try:
            with (
                source.open_snapshot(streams, pipeline.state.watermarks, pipeline.state.begun) as snapshot,
                Staging() as staging,
            ):
                failures |= {each: _named(each, error) for each, error in snapshot.unreadable.items()}
                refused |= set(snapshot.unreadable)
                horizons[name] = snapshot.horizon
                for stream in streams:
                    if stream.name not in snapshot.unreadable:
                        _extract_stream(pipeline, source, snapshot, stream, staging, reports, failures, refused)
                    staging.then(partial(waiting.discard, stream.name))
        except AdventureError as error:
            # The source's later streams fail too: a line must not be staged if its order could not be staged.
            failures |= dict.fromkeys(waiting or [stream.name for stream in streams], error)
    failures = _announce(pipeline) | failures
    return CycleReport(tuple(reports), failures, horizons, refused)


def _announce(pipeline: Pipeline) -> dict[str, AdventureError]:
    """Announce the staged windows, once for each stage; return the failure of each stream whose stage did not answer.

    A stage that could not be announced is tried again in the next cycle.
    """
    failed: dict[str, AdventureError] = {}
    for stream in pipeline.streams:
        if stream.stage in pipeline.unannounced:
            try:
                if pipeline.stage.announce(stream.stage):
                    pipeline.unannounced.discard(stream.stage)
            except StageError as error:
                failed[stream.name] = error
    return failed


def _extract_stream(
    pipeline: Pipeline,
    source: Source,
    snapshot: SourceSnapshot,
    stream: Stream,
    staging: Staging,
    reports: list[StreamReport],
    failures: dict[str, AdventureError],
    refused: set[str],
) -> None:
    """Extract one stream's windows, and start to stage the last one. Add each to `reports` when it is staged.

    If this stream alone cannot be read, add it to `failures`.

    Raises:
        AdventureError: the source, the stage or the state failed. The windows staged before are in `reports`.
    """
    origin = snapshot.origin(stream)
    if mismatch := _mismatch(pipeline, stream, origin, failures):
        failures[stream.name] = mismatch
        if refused.intersection(stream.references):
            refused.add(stream.name)
        return
    try:
        _extract_windows(pipeline, source, snapshot, stream, origin, staging, reports)
    except _NotRead as not_read:
        failures[stream.name] = _named(stream.name, not_read.error)
        refused.add(stream.name)


class _NotRead(Exception):
    """One stream could not be read; the source's other streams can. Internal to this module."""

    def __init__(self, error: AdventureError) -> None:
        super().__init__(str(error))
        self.error = error


def _named(stream: str, error: AdventureError) -> AdventureError:
    """Return the error, with the stream's name added if a SourceError lacks it."""
    if stream in error.problem or not isinstance(error, SourceError):
        return error
    return type(error)(f"stream {stream}: {error.problem}", error.remedy)


def _mismatch(
    pipeline: Pipeline, stream: Stream, origin: Origin, failures: Mapping[str, AdventureError]
) -> AdventureError | None:
    """Return why the stream must not be read from this source into this stage; None if it may be."""
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
            f" was promoted, or a backup was restored. After a restore, run `adventure reconcile {stream.name}`",
            stream=stream.name,
        )
    return waiting_for(stream, failures)


def _extract_windows(
    pipeline: Pipeline,
    source: Source,
    snapshot: SourceSnapshot,
    stream: Stream,
    origin: Origin,
    staging: Staging,
    reports: list[StreamReport],
) -> None:
    """Extract all new rows of one stream, in as many windows as the size limit requires; add a report for each.

    Without new rows, there is one report without a window.
    """
    more, has_window = True, False
    while more:
        begun = time.monotonic()
        extract = _extract(pipeline, snapshot, stream)
        more = extract.more
        if extract.all_files:
            mark = pipeline.state.watermarks.get(stream.name)
            window = _window(stream, mark.value if mark else None, snapshot, extract)
            staging.start(partial(_stage, pipeline, stream, window, extract, origin, begun, reports))
            staging.then(partial(source.mark_staged, stream, window.high))
            has_window = True
            if more:
                # The next window begins where this one ends.
                staging.finish()
            continue
        mode = extract.mode or snapshot.mode
        pipeline.state.save_position(stream, mode, extract.position, pipeline.owner(stream), origin)
        log.debug(f"{stream.name}: no new rows ({mode})", stream=stream.name)
        if not (more or has_window):
            report = StreamReport(stream.name, None, 0, 0, 0, time.monotonic() - begun)
            staging.then(partial(reports.append, report))


def _extract(pipeline: Pipeline, snapshot: SourceSnapshot, stream: Stream) -> Extract:
    """Write one stream's rows from its watermark to the snapshot's horizon into local files.

    Raises:
        _NotRead: this stream alone cannot be read.
        AdventureError: the source failed, or no file can be written.
    """
    folder = pipeline.temporary / stream.name
    # Remove files of a killed process. Only a file writer creates the folder, so an idle cycle writes nothing.
    shutil.rmtree(folder, ignore_errors=True)
    try:
        return snapshot.extract(stream, folder)
    except AdventureError as error:
        if snapshot.goes_on_after(error):
            raise _NotRead(error) from error
        raise


def _stage(
    pipeline: Pipeline,
    stream: Stream,
    window: Window,
    extract: Extract,
    origin: Origin,
    begun: float,
    reports: list[StreamReport],
) -> None:
    """Stage the window's files, then window.json, then advance the watermark, and report the window."""
    reached(Point.FILES_FINISHED, stream.name)
    for file in extract.all_files:
        pipeline.stage.put(stream.stage, window.id, file.path)
        reached(Point.FILE_STAGED, stream.name)
    pipeline.stage.commit(window)
    pipeline.unannounced.add(stream.stage)
    reached(Point.WINDOW_STAGED, stream.name)
    pipeline.state.advance(window, pipeline.owner(stream), origin)
    reached(Point.WATERMARK_MOVED, stream.name)
    shutil.rmtree(pipeline.temporary / stream.name, ignore_errors=True)
    size, seconds = sum(file.bytes for file in window.all_files), time.monotonic() - begun
    report = StreamReport(stream.name, window, window.rows, window.rejected, size, seconds)
    log_window(window, report)
    reports.append(report)


def _window(stream: Stream, low: datetime | None, snapshot: SourceSnapshot, extract: Extract) -> Window:
    """Build the window. Its end comes from the rows, never from the local clock, so rows of slow clocks are kept."""
    # A window without any cursor holds referred or rejected rows only, and the watermark does not advance. If it is the
    # first window, no row has shown yet how coarse the cursor is, so the next window reads from two days below.
    end = snapshot.end(stream)
    high = low or end - timedelta(days=2)
    if extract.last_cursor is not None:
        high = min(end, later(extract.last_cursor, snapshot.tick))
    if low:
        # The watermark never goes back, even if all rows are late ones below it. If windows must be loaded in the
        # order of the changes, each needs a `high` of its own.
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


def retryable(error: AdventureError) -> bool:
    """Return whether to try again in the next cycle: it may succeed, or the error affects only one stream."""
    goes_on = isinstance(error, SourceError | StageError | WatermarkMismatch)
    return goes_on and not isinstance(error, SourceRefused | SourceShapeError)
