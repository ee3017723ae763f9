"""Prometheus metrics of the long-lived commands, on METRICS_PORT. If it is 0, nothing is imported or counted.

Counters start at zero with the process; gauges show the current state. docs/operations.md describes the names and
labels, and a test compares the two.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from adventure.core.clock import utc_now
from adventure.core.errors import ConfigError
from adventure.core.log import get_logger
from adventure.core.settings import Settings
from adventure.core.zones import to_utc

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Gauge

    from adventure.core.streams import Stream
    from adventure.core.watermark import Watermark
    from adventure.destinations.warehouse import StreamTotals, TaskRun
    from adventure.processor.cycle import CycleReport

log = get_logger()


class ProcessorMetrics:
    """Metrics of the processor's cycles."""

    def __init__(self, registry: "CollectorRegistry") -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self._rows = Counter("adventure_staged_rows", "Rows staged.", ("stream",), registry=registry)
        self._bytes = Counter("adventure_staged_bytes", "Bytes staged.", ("stream",), registry=registry)
        self._rejects = Counter("adventure_staged_rejects", "Rows rejected.", ("stream",), registry=registry)
        self._deletes = Counter("adventure_staged_deletes", "Deletions staged.", ("stream",), registry=registry)
        self._windows = Counter("adventure_windows", "Windows staged.", ("stream",), registry=registry)
        self._stream_seconds = Gauge(
            "adventure_stream_seconds", "Duration of the last window.", ("stream",), registry=registry
        )
        self._watermark_age = Gauge(
            "adventure_watermark_age_seconds", "Age of the watermark.", ("stream",), registry=registry
        )
        self._horizon_age = Gauge(
            "adventure_horizon_age_seconds", "Age of the horizon.", ("source",), registry=registry
        )
        self._cycles = Histogram("adventure_cycle_seconds", "Duration of the cycles.", registry=registry)
        self._failures = Counter(
            "adventure_failures", "Cycles in which this stream failed.", ("stream", "error"), registry=registry
        )

    def cycle(
        self, report: "CycleReport", marks: Mapping[str, "Watermark"], streams: Sequence["Stream"], seconds: float
    ) -> None:
        """Count one cycle."""
        self._cycles.observe(seconds)
        for each in report.streams:
            self._rows.labels(each.stream).inc(each.rows_staged)
            self._bytes.labels(each.stream).inc(each.bytes)
            self._rejects.labels(each.stream).inc(each.rows_rejected)
            deletes = each.window.deletes.rows if each.window and each.window.deletes else 0
            self._deletes.labels(each.stream).inc(deletes)
            self._windows.labels(each.stream).inc(1 if each.window else 0)
            if each.window:
                self._stream_seconds.labels(each.stream).set(each.seconds)
        zones = {stream.name: stream.zone for stream in streams}
        for name, mark in marks.items():
            _track_age(self._watermark_age.labels(name), to_utc(mark.value, zones.get(name, "UTC")))
        for source, horizon in report.horizons.items():
            _track_age(self._horizon_age.labels(source), horizon)
        self.failed(report.failures)

    def failed(self, failures: Mapping[str, Exception]) -> None:
        """Count the streams that failed, by error."""
        for stream, error in failures.items():
            self._failures.labels(stream, type(error).__name__).inc()


class TaskMetrics:
    """Metrics of the task server's runs and of the warehouse."""

    def __init__(self, registry: "CollectorRegistry") -> None:
        from prometheus_client import Counter, Gauge

        self._runs = Counter("adventure_task_runs", "Runs of tasks.", ("task", "outcome"), registry=registry)
        self._seconds = Gauge("adventure_task_seconds", "Duration of the last run.", ("task",), registry=registry)
        self._in_a_row = Gauge(
            "adventure_task_failures_in_a_row", "Failed runs since the last success.", ("task",), registry=registry
        )
        self._loaded = Gauge("adventure_loaded_rows", "Rows in the ledger.", ("stream",), registry=registry)
        self._rejected = Gauge(
            "adventure_rejected_rows", "Rows rejected, in the ledger.", ("stream",), registry=registry
        )
        self._deleted = Gauge("adventure_deleted_rows", "Deletions in the ledger.", ("stream",), registry=registry)
        self._waiting = Gauge(
            "adventure_windows_waiting", "Windows staged and not loaded.", ("stream",), registry=registry
        )

    def run(self, run: "TaskRun") -> None:
        """Count one run."""
        self._runs.labels(run.name, run.outcome).inc()
        self._seconds.labels(run.name).set((run.ended_at - run.started_at).total_seconds())
        if run.outcome == "failed":
            self._in_a_row.labels(run.name).inc()
        else:
            self._in_a_row.labels(run.name).set(0)

    def set_totals(self, totals: Mapping[str, "StreamTotals"], waiting: Mapping[str, int]) -> None:
        """Set the current totals of the ledger and the stages, by stream."""
        for stream, total in totals.items():
            self._loaded.labels(stream).set(total.rows)
            self._rejected.labels(stream).set(total.rejected)
            self._deleted.labels(stream).set(total.deleted)
        for stream, windows in waiting.items():
            self._waiting.labels(stream).set(windows)


@contextmanager
def processor_metrics(settings: Settings) -> Iterator[ProcessorMetrics | None]:
    """Serve the processor's metrics while open; yield None if METRICS_PORT is 0.

    Raises:
        ConfigError: the port is in use, or the address does not belong to this machine.
    """
    with _serving(settings) as registry:
        yield ProcessorMetrics(registry) if registry else None


@contextmanager
def task_metrics(settings: Settings) -> Iterator[TaskMetrics | None]:
    """Serve the task server's metrics; see `processor_metrics`."""
    with _serving(settings) as registry:
        yield TaskMetrics(registry) if registry else None


@contextmanager
def _serving(settings: Settings) -> "Iterator[CollectorRegistry | None]":
    if not settings.metrics_port:
        yield None
        return
    from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

    registry = CollectorRegistry()
    # Memory and open files of this process.
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(settings.metrics_port, settings.metrics_host, registry)
    except OSError as error:
        raise ConfigError(
            f"Metrics cannot be served on {settings.metrics_host}:{settings.metrics_port}: {error.strerror}",
            "Set METRICS_PORT to a free port, or to 0 to serve none",
        ) from error
    log.info(f"metrics: http://{settings.metrics_host}:{settings.metrics_port}/metrics")
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _track_age(gauge: "Gauge", since: datetime) -> None:
    """Make the gauge report the time since `since`, so that it also grows while nothing happens."""
    gauge.set_function(lambda: (utc_now() - since).total_seconds())
