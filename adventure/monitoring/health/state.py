"""The state that the rules judge. Times are naive UTC.

`Report` comes from the warehouse, or from what the tasks last published. `Observed` comes from the sources, the
watermarks and the stages. A part that cannot be seen from here is None, which is no problem in itself.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from adventure.core.failures import Failure
    from adventure.core.heartbeat import Heartbeat


@dataclass(frozen=True)
class StreamState:
    """The state of one stream, from its source to its raw table."""

    stream: str
    source: str
    source_table: str
    stage: str
    raw_table: str
    raw_rows: int | None
    windows_waiting: int
    files_waiting: int
    rows_waiting: int
    bytes_waiting: int
    waiting_since: datetime | None
    damaged: str | None
    """Why a window cannot be read; None if all can."""
    damaged_remedy: str | None
    rejected_recently: int
    """Keys that were rejected in the last day, with no row loaded since."""
    watermark: datetime | None
    """The watermark of the loaded data, in the zone of the cursor; None before the first load."""
    horizon: datetime | None
    mode: str | None
    rows_loaded: int
    rows_rejected: int
    rows_deleted: int
    last_staged_at: datetime | None
    last_loaded_at: datetime | None


def watermark_utc(stream: StreamState) -> datetime | None:
    """Return the stream's watermark in UTC. It is in the zone of its cursor, which the mode names last."""
    zone = (stream.mode or "").rpartition(", ")[2]
    if stream.watermark is None or "/" not in zone:
        return stream.watermark
    try:
        local = stream.watermark.replace(tzinfo=ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):
        return stream.watermark
    return local.astimezone(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class TaskState:
    """The last run of a task that had work to do."""

    task: str
    started_at: datetime
    ended_at: datetime
    outcome: str
    rows: int
    files: int
    message: str
    last_success_at: datetime | None
    failures_in_a_row: int

    @property
    def seconds(self) -> float:
        """Return how long the run took."""
        return (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True)
class TestState:
    """A test or model that failed or warned when dbt last ran it."""

    __test__ = False  # not one of pytest's

    test: str
    kind: str
    model: str
    outcome: str
    rows: int | None
    message: str
    audit_table: str | None
    """The table with all failing rows."""


@dataclass(frozen=True)
class Freshness:
    """A source in the dbt project that declares how fresh its rows are."""

    source: str
    loaded_at: datetime | None
    """When its newest row was loaded; None if it has none."""
    warn_sec: float | None
    error_sec: float | None


@dataclass(frozen=True)
class Report:
    """What the warehouse says of streams, tasks and tests."""

    written_at: datetime | None = None
    """When the tasks last reported; None if they never did."""
    interval_sec: float | None = None
    """Seconds between two runs of the tasks; None when the last one was run by hand."""
    streams: tuple[StreamState, ...] = ()
    tasks: tuple[TaskState, ...] = ()
    tests: tuple[TestState, ...] = ()
    freshness: tuple[Freshness, ...] = ()


@dataclass(frozen=True)
class Fault:
    """An error that a check met."""

    problem: str
    remedy: str


@dataclass(frozen=True)
class Stall:
    """A horizon that does not move."""

    since: datetime
    blocker: str
    remedy: str


@dataclass(frozen=True)
class KeptLog:
    """The log that a server keeps until the pipeline reads it."""

    slot: str
    bytes: int
    safe_bytes: int | None
    """How much may still be written before the server removes unread log; None if it never does."""


@dataclass(frozen=True)
class SourceState:
    """A source, as a probe sees it."""

    source: str
    streams: tuple[str, ...]
    fault: Fault | None = None
    """Why it cannot be asked."""
    stall: Stall | None = None
    kept: KeptLog | None = None
    kind: str = ""
    """The name of its kind, which is not its own name if it has settings of its own."""


@dataclass(frozen=True)
class Lost:
    """Rows below a watermark that are neither staged nor loaded."""

    watermark: datetime
    rows: str
    """Which rows, for a sentence."""
    since: datetime | None
    """From where the stream has to be read again; None for its beginning."""


@dataclass(frozen=True)
class ObservedStream:
    """A stream, as its source, its watermark and its stage show it."""

    stream: str
    watermark: datetime | None = None
    """In UTC."""
    mode: str | None = None
    staged: int = 0
    """Windows in the stage."""
    unread_since: datetime | None = None
    """The lowest cursor at the source above the watermark."""
    unread_lag_sec: float = 0.0
    """How long after its cursor that row may have been written."""
    refused: Fault | None = None
    """Why the source refuses the stream, or does not match its description."""
    mismatch: Fault | None = None
    """Why the watermark does not belong to the stream."""
    lost: Lost | None = None


@dataclass(frozen=True)
class Observed:
    """What sources, watermarks and stages show."""

    at: datetime
    sources: tuple[SourceState, ...] = ()
    streams: tuple[ObservedStream, ...] = ()
    watermarks: Fault | None = None
    """Why the watermarks cannot be read."""
    warehouse: Fault | None = None
    """Why the warehouse cannot be read."""


@dataclass(frozen=True)
class Limits:
    """From when on something counts as a problem."""

    tasks_interval_sec: float = 3600.0
    """Used if the report does not say how often the tasks run."""
    waiting_sec: float | None = None
    """ALERT_WAITING_SEC."""
    lag_sec: float = 600.0
    """ALERT_LAG_SEC."""
    task_failures: int = 1
    """ALERT_FAILURES."""


@dataclass(frozen=True)
class State:
    """Everything that the rules judge."""

    now: datetime
    report: Report = field(default_factory=Report)
    processor: "Heartbeat | None" = None
    """Its last heartbeat."""
    failures: "tuple[Failure, ...]" = ()
    """What the processor retries."""
    observed: Observed | None = None
    limits: Limits = field(default_factory=Limits)
