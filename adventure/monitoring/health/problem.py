"""A problem of the pipeline."""

from dataclasses import dataclass
from typing import Literal, get_args

Severity = Literal["error", "warning"]
"""`error`: data is old or missing. `warning`: the data is correct, but needs attention."""

Kind = Literal[
    "processor_failing",
    "processor_stopped",
    "processor_stuck",
    "source_unavailable",
    "watermarks_unavailable",
    "warehouse_unavailable",
    "stream_refused",
    "watermark_mismatch",
    "horizon_stalled",
    "log_kept",
    "rows_unread",
    "stream_empty",
    "read_by_lookback",
    "window_damaged",
    "window_lost",
    "windows_waiting",
    "tasks_overdue",
    "task_failed",
    "reconcile_failed",
    "test_failed",
    "test_warned",
    "data_stale",
    "rows_rejected",
]
"""docs/operations.md has a heading for each kind. Monitors use the names, so they do not change."""

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Problem:
    """One problem and its fix."""

    kind: Kind
    severity: Severity
    sentence: str
    """What is wrong, without a full stop."""
    remedy: str
    """What fixes it, without a full stop."""
    streams: tuple[str, ...] = ()
    """The streams that it concerns; empty for all of them."""
    subject: str = ""
    """The task, test or source that it concerns, where a kind has several."""
    cause: "Problem | None" = None
    """The problem that this one follows from. It ends with its cause."""
