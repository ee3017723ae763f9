"""What `adventure status` shows: streams, processor, tasks, credits and problems, from one reading."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from adventure.core.heartbeat import Heartbeat
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.results import Credits
from adventure.monitoring.health.problem import Problem
from adventure.monitoring.health.rules import find_problems
from adventure.monitoring.health.state import ObservedStream, StreamState, TaskState
from adventure.monitoring.live import Reading, read


@dataclass(frozen=True)
class StreamStatus:
    """How far one stream is."""

    name: str
    watermark: datetime | None
    """Naive UTC; None if the stream was never read, or the watermarks cannot be read."""
    mode: str | None
    staged: int
    """Windows in the stage."""
    waiting: int
    """Windows in the stage that are not loaded."""
    rows: int
    rejected: int
    deleted: int
    last_loaded_at: datetime | None


@dataclass(frozen=True)
class PipelineStatus:
    """The state of the pipeline at one moment."""

    at: datetime
    """Naive UTC."""
    streams: tuple[StreamStatus, ...]
    processor: Heartbeat | None
    """None if the processor never wrote a heartbeat."""
    tasks: tuple[TaskState, ...]
    """The last run of each task."""
    credits: Credits | None
    """None where nothing is metered, or the credits cannot be read."""
    problems: tuple[Problem, ...]
    not_read: tuple[str, ...]
    """One sentence for each part that cannot be read."""


def read_status(settings: Settings, streams: Sequence[Stream]) -> PipelineStatus:
    """Read the state of the pipeline and judge it. What cannot be read is left out and named."""
    return status_of(read(settings, streams))


def status_of(found: Reading) -> PipelineStatus:
    """Return what is shown of a reading."""
    report = found.state.report
    loaded = {stream.stream: stream for stream in report.streams}
    return PipelineStatus(
        at=found.state.now,
        streams=tuple(_stream(seen, loaded.get(seen.stream)) for seen in found.observed.streams),
        processor=found.state.processor,
        tasks=report.tasks,
        credits=found.credits,
        problems=tuple(find_problems(found.state)),
        not_read=found.not_read,
    )


def _stream(seen: ObservedStream, loaded: StreamState | None) -> StreamStatus:
    return StreamStatus(
        name=seen.stream,
        watermark=seen.watermark,
        mode=seen.mode,
        staged=seen.staged,
        # Without a report, nothing is known to be loaded.
        waiting=min(seen.staged, loaded.windows_waiting) if loaded else seen.staged,
        rows=loaded.rows_loaded if loaded else 0,
        rejected=loaded.rows_rejected if loaded else 0,
        deleted=loaded.rows_deleted if loaded else 0,
        last_loaded_at=loaded.last_loaded_at if loaded else None,
    )
