"""Metrics that the task server serves."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from adventure.core.metrics import serving_metrics
from adventure.core.settings import Settings
from adventure.monitoring.health.problem import KINDS, Problem

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Gauge

    from adventure.destinations.results import StreamTotals, TaskRun
    from adventure.monitoring.health.state import Observed


class TaskMetrics:
    """Metrics of the task server's runs and of the warehouse."""

    def __init__(self, registry: "CollectorRegistry") -> None:
        from prometheus_client import Counter as Total
        from prometheus_client import Gauge

        self._runs = Total("adventure_task_runs", "Runs of tasks.", ("task", "outcome"), registry=registry)
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

        self._kept = Gauge(
            "adventure_kept_log_bytes",
            "Bytes of log that a source keeps for Adventure.",
            ("source",),
            registry=registry,
        )
        self._safe = Gauge(
            "adventure_kept_log_safe_bytes",
            "Bytes that may still be written before the source removes unread log.",
            ("source",),
            registry=registry,
        )
        self._problems = Gauge("adventure_problem", "Problems of this kind.", ("kind",), registry=registry)
        self.set_problems([])

    def set_problems(self, problems: "Sequence[Problem]") -> None:
        """Set the number of problems of each kind."""
        found = Counter(problem.kind for problem in problems)
        for kind in KINDS:
            self._problems.labels(kind).set(found[kind])

    def set_kept_logs(self, observed: "Observed") -> None:
        """Set how much log each source keeps. A source without a slot, or that cannot be asked, has no figure."""
        kept = {source.source: source.kept for source in observed.sources if source.kept}
        safe = {source: log.safe_bytes for source, log in kept.items() if log.safe_bytes is not None}
        _replace(self._kept, {source: log.bytes for source, log in kept.items()})
        _replace(self._safe, safe)

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


def _replace(gauge: "Gauge", by_source: Mapping[str, float]) -> None:
    """Set the gauge for these sources, and forget the others."""
    for (source,) in [tuple(sample.labels.values()) for family in gauge.collect() for sample in family.samples]:
        if source not in by_source:
            gauge.remove(source)
    for source, value in by_source.items():
        gauge.labels(source).set(value)


@contextmanager
def task_metrics(settings: Settings) -> Iterator[TaskMetrics | None]:
    """Serve the metrics while open; None where METRICS_PORT is 0."""
    with serving_metrics(settings) as registry:
        yield TaskMetrics(registry) if registry else None
