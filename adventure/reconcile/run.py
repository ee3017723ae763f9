"""`adventure reconcile`: compare each stream, and with `repair` stage missing rows and deletions."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from adventure.core.clock import earlier
from adventure.core.errors import SourceError, SourceRefused, SourceShapeError
from adventure.core.kinds import WAREHOUSES
from adventure.core.log import get_logger
from adventure.core.private import make_data_dir
from adventure.core.scratch import scratch_folder
from adventure.core.settings import Settings
from adventure.core.spans import micros
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.destinations.common.lateness import lateness_bounds
from adventure.destinations.warehouse import VersionReader, Warehouse
from adventure.factory import open_source, open_source_side, open_stage, open_warehouse
from adventure.processor.state import read_watermarks
from adventure.processor.state_session import repairing
from adventure.reconcile.comparison import Comparison
from adventure.reconcile.lateness import Lateness
from adventure.reconcile.repair import Repair, RepairResult
from adventure.reconcile.result import Result
from adventure.sources.side import SourceSide

log = get_logger()


@dataclass(frozen=True)
class Report:
    """The result of one stream's comparison and repair."""

    stream: Stream
    watermark: datetime | None
    result: Result | None
    """None if the stream was never read, so that nothing can be missing."""
    lateness: Lateness | None
    repaired: RepairResult | None
    """None if no repair was requested, or there was nothing to repair."""
    failure: SourceError | None = None
    """Why the stream could not be compared: its source refuses, or does not match the stream's configuration."""

    @property
    def is_clean(self) -> bool:
        """Return whether nothing differs, or all differences are now staged."""
        if self.failure or (self.repaired and self.repaired.withheld):
            return False
        if self.result is None or not self.result.differs:
            return True
        return self.repaired is not None and not (self.result.count("behind") or self.result.count("unusable"))


def reconcile(
    settings: Settings,
    streams: Sequence[Stream],
    *,
    repair: bool = False,
    force: bool = False,
    low: datetime | None = None,
    high: datetime | None = None,
    recent: timedelta | None = None,
    rows: bool = False,
    without: Collection[str] = (),
) -> list[Report]:
    """Compare each stream's source with the warehouse by key and cursor.

    Args:
        force: stage deletions even if they are a large share of the stream's live keys.
        low: compare from this cursor; default: the lowest of either side.
        high: compare below this cursor, at most up to the watermark; rows above it are in flight.
        recent: compare only this much of each stream before its watermark.
        rows: compare whole rows, by a hash of all columns that each server computes.
        without: ids of staged windows that count as not staged, because they will not be loaded.

    Raises:
        SourceError: a source does not answer.
        WarehouseError: the warehouse cannot be read.
        AlreadyRunning: another repair of the same stream is running.
    """
    warehouse = open_warehouse(settings)
    marks = read_watermarks(settings)
    reports = []
    for number, stream in enumerate(streams, 1):
        mark = marks.get(stream.name)
        if mark is None:
            reports.append(Report(stream, None, None, None, None))
            continue
        # Rows without a cursor of their own are compared by their hashes, all of them.
        bounds = (None, None) if stream.has_read_at else (earlier(mark.value, recent) if recent else low, high)
        try:
            reports.append(
                _reconcile(
                    settings,
                    warehouse,
                    stream,
                    mark,
                    repair=repair,
                    force=force,
                    low=bounds[0],
                    high=bounds[1],
                    rows=rows or stream.has_read_at,
                    without=without,
                    place=f"{number} of {len(streams)}",
                )
            )
        except (SourceRefused, SourceShapeError) as error:
            reports.append(Report(stream, mark.value, None, None, None, error))
    return reports


def _reconcile(
    settings: Settings,
    warehouse: Warehouse,
    stream: Stream,
    mark: Watermark,
    *,
    repair: bool,
    force: bool,
    low: datetime | None,
    high: datetime | None,
    rows: bool,
    without: Collection[str],
    place: str,
) -> Report:
    if stream.has_read_at and not WAREHOUSES[settings.warehouse].whole_rows:
        raise SourceShapeError(
            f"{stream.name} has no cursor: its rows can only be compared whole, which {settings.warehouse} does not do",
            "Run `adventure check`, which compares their number",
        )
    make_data_dir(settings.data_dir)
    with (
        scratch_folder(settings.unfinished_dir, "reconcile") as scratch,
        open_source_side(settings, stream, rows=rows, mark=mark) as side,
    ):
        log.info(
            f"{stream.name}: comparing {stream.location} with {stream.raw_table} below {mark.value}, {place} streams"
        )
        comparison = Comparison(stream, warehouse, side, scratch / "comparison.duckdb")
        result = comparison.run(mark.value, side.lookback(mark), low, high, without=without)
        lateness = _lateness(warehouse, comparison, side, mark)
        repaired = None
        if repair and any(result.count(verdict) for verdict in ("missing", "stale", "changed", "deleted", "rejected")):
            live_keys = warehouse.live_key_count(stream)
            repaired = _repair(settings, comparison, result, side, mark, scratch, live_keys=live_keys, force=force)
    return Report(stream, mark.value, result, lateness, repaired)


def _repair(
    settings: Settings,
    comparison: Comparison,
    result: Result,
    side: SourceSide,
    mark: Watermark,
    scratch: Path,
    *,
    live_keys: int,
    force: bool,
) -> RepairResult:
    stream, stage = comparison.stream, open_stage(settings)
    stage.check_writable(stream.stage)
    with repairing(settings, stream):
        source = open_source(stream.opens, settings)
        try:
            repair = Repair(stream, source, side, stage, mark, scratch / "files", live_keys, force)
            return repair.run(comparison, result.count("deleted"))
        finally:
            source.close()


def _lateness(warehouse: VersionReader, comparison: Comparison, side: SourceSide, mark: Watermark) -> Lateness:
    bounds = lateness_bounds()
    loaded = warehouse.lateness(comparison.stream, side.key_kinds, bounds)
    return Lateness.of(loaded, comparison.lateness(micros(mark.value), bounds))
