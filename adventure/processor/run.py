"""Run the processor: one cycle, or a cycle every few seconds until it is stopped."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from adventure.core import heartbeat
from adventure.core.errors import AdventureError, AlreadyRunning, SourceError, WatermarkMismatch
from adventure.core.failures import FailureFile, beside
from adventure.core.log import get_logger
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.factory import importing, open_source, open_stage
from adventure.processor.cycle import Pipeline, retryable, run_cycle
from adventure.processor.metrics import ProcessorMetrics, processor_metrics
from adventure.processor.owner import owner_mismatch, waiting_for
from adventure.processor.recovery import recover
from adventure.processor.report import CycleReport
from adventure.processor.state import State

log = get_logger()


@contextmanager
def open_pipeline(
    settings: Settings, streams: Sequence[Stream], *, retry_for: float | None = None
) -> Iterator[Pipeline]:
    """Check the stage, lock and recover the state, connect to the sources, and yield them as a Pipeline.

    If one source cannot be opened, the others still run.

    Args:
        retry_for: seconds for which to retry a source that does not answer; see `connect.connect_postgres`.

    Raises:
        AlreadyRunning: another processor holds one of the streams.
        SourceError: the state database or every source does not answer, or refuses.
        StageUnwritable: no file can be put into the stage.
    """
    with ExitStack() as stack:
        with importing([stream.opens for stream in streams]):
            stage = open_stage(settings)
            for stream in streams:
                stage.check_writable(stream.stage)
            state = stack.enter_context(State(settings, streams))
        destination = stage.identity(create=True)
        refused: dict[str, WatermarkMismatch] = {}
        unannounced: set[str] = set()
        for stream in streams:
            mismatch = owner_mismatch(state.watermarks.get(stream.name), stream, destination)
            if mismatch := mismatch or waiting_for(stream, refused):
                refused[stream.name] = mismatch
            elif recover(state, stage, stream):
                unannounced.add(stream.stage)
        pipeline = Pipeline(
            tuple(streams), {}, stage, state, settings.unfinished_dir, refused=refused, unannounced=unannounced
        )
        stack.callback(_close_sources, pipeline)
        _open_sources(pipeline, settings, retry_for)
        if not pipeline.sources:
            raise _one_of(pipeline.unavailable.values())
        yield pipeline


def _open_sources(pipeline: Pipeline, settings: Settings, retry_for: float | None = None) -> None:
    """Open each source that is not open. Store the error in `unavailable` if one cannot be opened."""
    for name, opens in {stream.source: stream.opens for stream in pipeline.streams}.items():
        if name not in pipeline.sources:
            try:
                pipeline.sources[name] = open_source(opens, settings, retry_for=retry_for)
            except SourceError as error:
                pipeline.unavailable[name] = error
            else:
                pipeline.unavailable.pop(name, None)


def _close_sources(pipeline: Pipeline) -> None:
    for name in list(pipeline.sources):
        pipeline.sources.pop(name).close()


def _one_of(failures: Iterable[AdventureError]) -> AdventureError:
    """Return the failure to raise for all of them, preferably a retryable one. Log the others."""
    distinct = list({str(failure): failure for failure in failures}.values())
    raised = next(filter(retryable, distinct), distinct[0])
    for failure in distinct:
        if failure is not raised:
            log.error(str(failure))
    return raised


def process_once(settings: Settings, streams: Sequence[Stream]) -> CycleReport:
    """Run one cycle. Rows that were committed before the call are staged when it returns.

    Raises:
        AdventureError: a stream failed. The other streams were extracted.
    """
    called = time.monotonic()
    with open_pipeline(settings, streams) as pipeline:
        margin = max(source.margin for source in pipeline.sources.values())
        time.sleep(max(0.0, called + margin.total_seconds() - time.monotonic()))
        report = run_cycle(pipeline)
    failures = list(dict.fromkeys(report.failures.values()))
    for failure in failures[1:]:
        log.error(str(failure))
    if failures:
        raise failures[0]
    for each in report.streams:
        if each.window is None:
            log.info(f"{each.stream}: no new rows", stream=each.stream, rows=0)
    return report


def process_forever(
    settings: Settings, streams: Sequence[Stream], *, interval: float, max_runtime: float, stop: threading.Event
) -> None:
    """Run a cycle every `interval` seconds until `stop` is set or `max_runtime` seconds (0: no limit) have passed.

    A source that does not answer or refuses is tried again in each cycle; the other streams continue. Before the
    first stream was read, the processor ends when every error is one that only the operator can fix: the settings are
    likely wrong. After it, the processor tries again, so that it goes on by itself once that is fixed.

    Raises:
        AdventureError: nothing was ever read, and the settings are wrong, every source refuses, no table matches its
            stream, or another processor holds a stream.
    """
    had_locks, has_read = False, threading.Event()
    ends_at = time.monotonic() + max_runtime if max_runtime else float("inf")
    failing = FailureFile(beside(settings.heartbeat_file or settings.processor_heartbeat))
    with processor_metrics(settings) as metrics:
        while not stop.is_set() and time.monotonic() < ends_at:
            opened = False
            try:
                # Do not wait for a source that does not answer: the next cycle tries it again, and extracts the others.
                with open_pipeline(settings, streams, retry_for=0) as pipeline:
                    opened = had_locks = True
                    log.info(f"processor: {len(streams)} streams, a cycle every {interval:g} s")
                    _cycles(pipeline, settings, interval, ends_at, stop, metrics, failing, has_read)
            except AdventureError as error:
                if not opened:
                    all_of_them = dict.fromkeys((stream.name for stream in streams), error)
                    failing.report(all_of_them)
                    if metrics:
                        metrics.failed(all_of_them)
                # After a lost connection, the server may keep this processor's old session and its locks for a while.
                locked_out = had_locks and isinstance(error, AlreadyRunning)
                if not retryable(error) and not locked_out and not has_read.is_set():
                    raise
                lost = " It may be the session that this processor has lost: the server ends that within a minute."
                log.error(f"{error}{lost if locked_out else ''} Trying again in {interval:g} s.")
                heartbeat.beat(quiet_for=interval)
                stop.wait(interval)
    failing.report({})


def _cycles(
    pipeline: Pipeline,
    settings: Settings,
    interval: float,
    ends_at: float,
    stop: threading.Event,
    metrics: ProcessorMetrics | None,
    failing: FailureFile,
    has_read: threading.Event,
) -> None:
    """Run cycles on open connections; return when `stop` is set or the time is up.

    An error of a stream is logged when it first occurs, not in every cycle. The other streams continue.

    Args:
        has_read: is set once a stream was read.

    Raises:
        AdventureError: a cycle failed for all streams; the caller has to open everything again.
    """
    logged: set[str] = set()
    while not stop.is_set() and time.monotonic() < ends_at:
        begun = time.monotonic()
        heartbeat.beat()
        _open_sources(pipeline, settings, retry_for=0)
        report = run_cycle(pipeline)
        if metrics:
            metrics.cycle(report, pipeline.state.watermarks, pipeline.streams, time.monotonic() - begun)
        failing.report(report.failures)
        if len(report.failures) < len(pipeline.streams):
            has_read.set()
        _reopen_failed(pipeline, report)
        sentences = {str(failure) for failure in report.failures.values()}
        for sentence in sorted(sentences - logged):
            log.error(f"{sentence} The other streams go on. Trying again with each cycle.")
        logged = sentences
        pause = min(max(0.0, interval - (time.monotonic() - begun)), max(0.0, ends_at - time.monotonic()))
        heartbeat.beat(quiet_for=pause)
        stop.wait(pause)


def _reopen_failed(pipeline: Pipeline, report: CycleReport) -> None:
    """Close each source that failed, so that the next cycle opens it again. The other sources stay open.

    Raises:
        AdventureError: every stream failed, or the state or the stage did, which all streams share.
    """
    if not report.failures:
        return
    shared = {name: error for name, error in report.failures.items() if name not in report.refused}
    nothing_goes_on = len(report.failures) == len(pipeline.streams)
    if nothing_goes_on or pipeline.state.is_lost or not all(isinstance(e, SourceError) for e in shared.values()):
        waiting = [s.name for s in pipeline.streams if any(parent in report.failures for parent in s.references)]
        raise _one_of(error for name, error in report.failures.items() if name not in waiting)
    failed = {stream.source for stream in pipeline.streams if stream.name in shared} & set(pipeline.sources)
    for name in failed:
        pipeline.sources.pop(name).close()
    for stream in pipeline.streams:
        if stream.source in failed:
            # Its last window may be staged although the watermark did not advance.
            recover(pipeline.state, pipeline.stage, stream)
