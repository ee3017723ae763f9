"""Metrics that the processor serves."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from adventure.core.metrics import serving_metrics, track_age
from adventure.core.settings import Settings
from adventure.core.zones import to_utc

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from adventure.core.streams import Stream
    from adventure.core.watermark import Watermark
    from adventure.processor.report import CycleReport


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
            track_age(self._watermark_age.labels(name), to_utc(mark.value, zones.get(name, "UTC")))
        for source, horizon in report.horizons.items():
            track_age(self._horizon_age.labels(source), horizon)
        self.failed(report.failures)

    def failed(self, failures: Mapping[str, Exception]) -> None:
        """Count the streams that failed, by error."""
        for stream, error in failures.items():
            self._failures.labels(stream, type(error).__name__).inc()


@contextmanager
def processor_metrics(settings: Settings) -> Iterator[ProcessorMetrics | None]:
    """Serve the metrics while open; None where METRICS_PORT is 0."""
    with serving_metrics(settings) as registry:
        yield ProcessorMetrics(registry) if registry else None
