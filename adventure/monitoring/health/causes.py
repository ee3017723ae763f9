"""Which problem follows from which, and the order in which they are shown."""

from collections.abc import Iterable
from dataclasses import replace

from adventure.monitoring.health.problem import Kind, Problem

_READING: tuple[Kind, ...] = (
    "source_unavailable",
    "stream_refused",
    "watermarks_unavailable",
    "watermark_mismatch",
    "processor_failing",
    "processor_stopped",
    "processor_stuck",
    "horizon_stalled",
)
_LOADING: tuple[Kind, ...] = ("warehouse_unavailable", "window_damaged", "task_failed", "tasks_overdue")

_CAUSES: dict[Kind, tuple[Kind, ...]] = {
    "processor_failing": ("source_unavailable", "stream_refused", "watermarks_unavailable", "watermark_mismatch"),
    "processor_stopped": ("source_unavailable", "stream_refused", "watermarks_unavailable", "watermark_mismatch"),
    "watermarks_unavailable": ("source_unavailable",),
    "rows_unread": _READING,
    "stream_empty": (*_READING, *_LOADING),
    "window_lost": ("watermark_mismatch",),
    "windows_waiting": _LOADING,
    "task_failed": ("window_damaged", "test_failed", "warehouse_unavailable"),
    "reconcile_failed": ("source_unavailable", "window_lost"),
    "data_stale": (*_READING, "rows_unread", *_LOADING, "windows_waiting"),
}
"""The possible causes of each kind, the most likely first."""


def in_order(found: Iterable[Problem]) -> list[Problem]:
    """Return the problems with their causes: root causes first, errors before warnings, consequences below each."""
    unique = list(dict.fromkeys(found))
    roots: list[Problem] = []
    below: dict[int, list[int]] = {}
    causes = [_cause_of(each, unique) for each in unique]
    for place, cause in enumerate(causes):
        if cause is not None:
            below.setdefault(cause, []).append(place)
    ordered: list[Problem] = []

    def add(place: int, cause: Problem | None) -> None:
        linked = replace(unique[place], cause=cause)
        ordered.append(linked)
        for consequence in sorted(below.get(place, []), key=lambda each: _rank(unique[each])):
            add(consequence, linked)

    roots = [each for each, cause in zip(unique, causes, strict=True) if cause is None]
    for root in sorted(roots, key=_rank):
        add(unique.index(root), None)
    return ordered


def _rank(problem: Problem) -> bool:
    return problem.severity != "error"


def _cause_of(problem: Problem, among: list[Problem]) -> int | None:
    """Return the position of the cause of a problem; None for a root cause."""
    for kind in _CAUSES.get(problem.kind, ()):
        for place, other in enumerate(among):
            if other.kind == kind and other is not problem and _explains(other, problem):
                return place
    return None


def _explains(cause: Problem, problem: Problem) -> bool:
    if cause.kind == "test_failed":
        return problem.subject == "build"
    if problem.kind == "task_failed" and cause.kind == "window_damaged":
        return problem.subject == f"load_{cause.streams[0]}"
    if cause.kind == "task_failed" and cause.subject and not cause.subject.startswith("load_"):
        return problem.kind == "data_stale" and not problem.streams
    return not cause.streams or not problem.streams or bool(set(cause.streams) & set(problem.streams))


def depth(problem: Problem) -> int:
    """Return how many causes stand above the problem; 0 for a root cause."""
    return 1 + depth(problem.cause) if problem.cause else 0
