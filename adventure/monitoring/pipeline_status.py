"""Read the state of the pipeline for `adventure status`: streams, processor, tasks and credits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from adventure.core import heartbeat
from adventure.core.clock import utc_now
from adventure.core.errors import SourceError, WarehouseError
from adventure.core.heartbeat import Heartbeat
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.zones import to_utc
from adventure.destinations.warehouse import Credits, StreamTotals, TaskRun, Warehouse
from adventure.factory import open_stage
from adventure.processor.state import read_watermarks


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
    totals: StreamTotals


@dataclass(frozen=True)
class PipelineStatus:
    """The state of the pipeline at one moment."""

    at: datetime
    """Naive UTC."""
    streams: tuple[StreamStatus, ...]
    processor: Heartbeat | None
    """None if the processor never wrote a heartbeat."""
    tasks: tuple[TaskRun, ...]
    """The last run of each task."""
    credits: Credits | None
    """None where nothing is metered, or the credits cannot be read."""
    not_read: tuple[str, ...]
    """One sentence for each part that cannot be read."""


def read_status(settings: Settings, streams: Sequence[Stream], warehouse: Warehouse) -> PipelineStatus:
    """Read the state of the pipeline. Watermarks and credits that cannot be read are left out and named.

    Raises:
        WarehouseError: the warehouse cannot be read.
    """
    not_read: list[str] = []
    read = _streams(settings, streams, warehouse, not_read)
    # Take the time after the wait for the databases: ages are measured from it.
    return PipelineStatus(
        at=utc_now(),
        streams=read,
        processor=heartbeat.read(settings.processor_heartbeat),
        tasks=tuple(warehouse.last_runs()),
        credits=_credits(warehouse, not_read),
        not_read=tuple(not_read),
    )


def _streams(
    settings: Settings, streams: Sequence[Stream], warehouse: Warehouse, not_read: list[str]
) -> tuple[StreamStatus, ...]:
    stage, totals = open_stage(settings), warehouse.totals(streams)
    try:
        marks = read_watermarks(settings, brief=True)
    except SourceError as error:
        not_read.append(f"Watermarks are not shown: {error}")
        marks = {}
    found = []
    for stream in streams:
        mark, windows = marks.get(stream.name), stage.windows(stream.stage)
        found.append(
            StreamStatus(
                name=stream.name,
                watermark=to_utc(mark.value, stream.zone) if mark else None,
                mode=mark.mode if mark else None,
                staged=len(windows),
                waiting=len(windows) - len(warehouse.loaded(windows)),
                totals=totals[stream.name],
            )
        )
    return tuple(found)


def _credits(warehouse: Warehouse, not_read: list[str]) -> Credits | None:
    try:
        return warehouse.credits()
    except WarehouseError as error:
        not_read.append(f"Credits are not shown: {error}")
        return None
