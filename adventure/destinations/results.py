"""What a warehouse answers: the results of tasks, and what its ledger and its task history hold."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Outcome = Literal["succeeded", "failed", "skipped"]


@dataclass(frozen=True)
class LoadResult:
    """Rows and files that a load or a cleanup processed."""

    rows: int = 0
    files: int = 0
    was_run: bool = True
    """False if the account skipped the task, because nothing is staged."""


@dataclass(frozen=True)
class TaskRun:
    """One run of one task. Timestamps are naive UTC."""

    name: str
    started_at: datetime
    ended_at: datetime
    outcome: Outcome
    rows: int
    files: int
    message: str

    @property
    def task(self) -> str:
        """Return the task's name."""
        return self.name


@dataclass(frozen=True)
class RejectedRow:
    """The latest rejection of one row. Timestamps are naive UTC."""

    stream: str
    key: str | None
    reason: str
    row: str | None
    """As the source prints it."""
    file: str
    rejected_at: datetime
    has_returned: bool | None
    """Whether the raw table holds a row of the key that was loaded later; None if that is unknown."""


@dataclass(frozen=True)
class RemovedWindow:
    """A staged window that was removed before it was loaded. Timestamps are naive UTC."""

    stream: str
    stage: str
    id: str
    low: datetime | None
    high: datetime
    run_id: str


@dataclass(frozen=True)
class StreamTotals:
    """The ledger's totals of one stream."""

    rows: int = 0
    """Loaded rows."""
    rejected: int = 0
    """Rejected rows."""
    deleted: int = 0
    """Tombstones of rows that were deleted at the source."""
    last_loaded_at: datetime | None = None


@dataclass(frozen=True)
class Credits:
    """Credits of this month."""

    used: float
    """By the warehouse, idle minutes included."""
    budget: float | None
    """CREDIT_BUDGET."""
    quota: float | None
    """The account's monitor suspends the warehouse at this number."""
