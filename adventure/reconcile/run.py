"""`adventure reconcile`: each stream compared, and with `repair` staged what is missing and gone."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from adventure.core.clock import earlier
from adventure.core.errors import SourceError, SourceRefused, SourceShapeError
from adventure.core.log import get_logger
from adventure.core.private import make_data_dir, make_folder
from adventure.core.settings import Settings
from adventure.core.spans import micros
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.destinations.common.ledger import lateness_bounds
from adventure.destinations.warehouse import Warehouse
from adventure.factory import open_source, open_source_side, open_stage, open_warehouse
from adventure.processor.state import read_watermarks, repairing
from adventure.reconcile.comparison import Comparison, Result
from adventure.reconcile.lateness import Lateness
from adventure.reconcile.repair import Repair, Repaired
from adventure.sources.side import SourceSide

log = get_logger()


@dataclass(frozen=True)
class Report:
    """What was found of one stream, and done about it."""

    stream: Stream
    watermark: datetime | None
    result: Result | None
    """None when the stream was never read: nothing of it can be missing."""
    lateness: Lateness | None
    repaired: Repaired | None
    """None when no repair was asked for, or nothing differs that one can repair."""
    failure: SourceError | None = None
    """Why the stream could not be compared: its source refuses, or is not what the stream says."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing differs, or what differs is staged now."""
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
        force: stages deletions also where they are a large share of the stream's living keys.
        low: compares from this cursor on; default: from the lowest that either side has.
        high: up to below this cursor, and never at or above the watermark, where rows are in flight.
        recent: compares only so much of each stream before its watermark.
        rows: compares whole rows, by a hash of all columns that each server computes.
        without: ids of staged windows that are taken as not staged, because they will not be loaded.

    Raises:
        SourceError: a source does not answer.
        WarehouseError: the warehouse cannot be read.
        AlreadyRunning: another repair of the same stream is under way.
    """
    warehouse = open_warehouse(settings)
    marks = read_watermarks(settings)
    reports = []
    for stream in streams:
        mark = marks.get(stream.name)
        if mark is None:
            reports.append(Report(stream, None, None, None, None))
            continue
        begin = earlier(mark.value, recent) if recent else low
        try:
            reports.append(
                _reconcile(
                    settings,
                    warehouse,
                    stream,
                    mark,
                    repair=repair,
                    force=force,
                    low=begin,
                    high=high,
                    rows=rows,
                    without=without,
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
) -> Report:
    with _scratch(settings) as scratch, open_source_side(settings, stream, rows=rows) as side:
        log.info(f"{stream.name}: comparing {stream.location} with {stream.raw_table} below {mark.value}")
        comparison = Comparison(stream, warehouse, side, scratch / "comparison.duckdb")
        result = comparison.run(mark.value, side.lookback(mark), low, high, without=without)
        lateness = _lateness(warehouse, comparison, side, mark)
        repaired = None
        if repair and any(result.count(verdict) for verdict in ("missing", "stale", "changed", "deleted", "rejected")):
            living = warehouse.living_keys(stream)
            repaired = _repair(settings, comparison, result, side, mark, scratch, living=living, force=force)
    return Report(stream, mark.value, result, lateness, repaired)


def _repair(
    settings: Settings,
    comparison: Comparison,
    result: Result,
    side: SourceSide,
    mark: Watermark,
    scratch: Path,
    *,
    living: int,
    force: bool,
) -> Repaired:
    stream, stage = comparison.stream, open_stage(settings)
    stage.check_writable(stream.stage)
    with repairing(settings, stream):
        source = open_source(stream.source, settings)
        try:
            repair = Repair(stream, source, side, stage, mark, scratch / "files", living, force)
            return repair.run(comparison, result.count("deleted"))
        finally:
            source.close()


def _lateness(warehouse: Warehouse, comparison: Comparison, side: SourceSide, mark: Watermark) -> Lateness:
    bounds = lateness_bounds()
    loaded = warehouse.lateness(comparison.stream, side.key_kinds, bounds)
    return Lateness.of(loaded, comparison.lateness(micros(mark.value), bounds))


@contextmanager
def _scratch(settings: Settings) -> Iterator[Path]:
    parent = settings.unfinished_dir
    make_data_dir(settings.data_dir)
    make_folder(parent)
    with TemporaryDirectory(dir=parent, prefix="reconcile-") as folder:
        yield Path(folder)
