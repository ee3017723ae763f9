"""Check that raw tables and models contain the rows of the sources.

The checks also hold while the pipeline runs: they read in the direction opposite to the rows, and allow for what is in
flight between two layers. First the watermark, then the stage, then the warehouse in one reading, and last the source.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from adventure.core.clock import earlier, utc_now
from adventure.core.errors import SourceRefused, SourceShapeError
from adventure.core.manifest import Window
from adventure.core.settings import Settings
from adventure.core.stage import StageEntry
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.core.zones import to_local
from adventure.destinations.warehouse import Warehouse
from adventure.factory import open_probe, open_stage
from adventure.monitoring.checks.check import Check
from adventure.processor.state import read_watermarks

MODELS = {
    "orders": "base_real_time__sales_orders",
    "order_details": "base_real_time__order_details",
    "chat_logs": "stg_real_time__chat_logs",
    "reviews": "base_reviews__reviews",
}
"""The model with one row per key, for each shipped stream."""
_KEYS = {
    "orders": ("sales_order_id",),
    "order_details": ("sales_order_detail_id",),
    "chat_logs": ("_id",),
    "reviews": ("id",),
}
_REVIEWS_RAW, _REVIEWS_CURSOR = "raw_ext.reviews_raw", "updated_at"
"""Reviews are a usual name, and so is their key: the model is for the documents of the shop's API."""

_LATE = timedelta(minutes=1)
"""Without a horizon, a row with a cursor this far below the watermark may still be unread."""
_CLEANED_AFTER = timedelta(hours=1)
"""The cleanup follows the load of all waiting windows, which may take a while."""


def model_of(stream: Stream) -> str | None:
    """Return the model with one row per key; None for a stream of one's own, even if it has a shipped stream's name."""
    if stream.name == "reviews" and (stream.raw_table, stream.cursor) != (_REVIEWS_RAW, _REVIEWS_CURSOR):
        return None
    return MODELS.get(stream.name) if stream.key == _KEYS.get(stream.name) else None


@dataclass(frozen=True)
class Counts:
    """Rows of one stream at each layer."""

    source: int
    in_flight: int
    """The part of `source` that no window has read yet; see `SourceCounts`."""
    raw: int
    """Keys in the raw table that are not deleted."""
    rejected: int
    """Keys that were rejected, with no row loaded since."""
    model: int | None
    """Rows of the model that are not deleted; None for a stream without a model in MODELS."""


@dataclass(frozen=True)
class _Held:
    """What the warehouse holds of one stream, at one moment."""

    raw: int
    rejected: int
    model: int | None
    deleted_since: int | None
    """Tombstones that were loaded since the last build began; None if no build is due."""
    loaded: frozenset[str]
    """The staged windows that are loaded."""
    just_loaded: frozenset[str]
    """Windows whose cleanup may be under way."""


def count_rows(settings: Settings, warehouse: Warehouse, stream: Stream) -> Counts:
    """Count one stream's rows.

    Raises:
        SourceError: the source does not answer, or refuses.
        WarehouseError: the warehouse cannot be read.
    """
    mark = read_watermarks(settings).get(stream.name)
    return _counts(settings, stream, mark, _held(warehouse, stream, ()))


def flow_checks(settings: Settings, warehouse: Warehouse, stream: Stream) -> Iterator[Check]:
    """Check one stream's keys at each layer, and its stage for leftover files."""
    stage = open_stage(settings)
    mark = read_watermarks(settings).get(stream.name)
    entries, windows = stage.entries(stream.stage), stage.windows(stream.stage)
    held = _held(warehouse, stream, windows)
    waiting = [window for window in windows if window.id not in held.loaded]
    try:
        counts = _counts(settings, stream, mark and _early(mark, stream), held)
    except (SourceRefused, SourceShapeError) as error:
        yield Check(f"{stream.name}: raw keys = source rows", "-", f"{error}", holds=False)
        return
    is_compared = stream.as_read(mark.mode if mark else None).is_snapshot
    yield _snapshot_check(stream, counts, mark) if is_compared else _source_check(stream, counts, waiting)
    if counts.model is not None:
        # The model lags behind the raw table by the rows and deletions loaded since the last build.
        is_due = held.deleted_since is not None
        low, high = (
            (min(counts.raw, counts.model), counts.raw + (held.deleted_since or 0)) if is_due else (counts.raw,) * 2
        )
        yield Check(
            f"{stream.name}: {MODELS[stream.name]} = raw keys",
            f"{counts.raw:,}" if low == high else f"{low:,} to {high:,}",
            f"{counts.model:,}",
            low <= counts.model <= high,
        )
    files = _left_files(entries, waiting, held, mark)
    yield Check(f"{stream.name}: loaded files left in {stream.stage}", "0", f"{files:,}", files == 0)


def _held(warehouse: Warehouse, stream: Stream, windows: Sequence[Window]) -> _Held:
    """Read the warehouse. DuckDB keeps loads and builds out meanwhile."""
    model = None
    with warehouse.reading():
        loaded = warehouse.loaded(windows)
        just_loaded = warehouse.execute(
            "select distinct window_id from raw_ext.load_history where stream = ? and loaded_at > cast(? as timestamp)",
            [stream.name, str(utc_now() - _CLEANED_AFTER)],
        )
        raw = warehouse.live_key_count(stream)
        rejected = warehouse.outstanding_rejects(stream, datetime.min)
        deleted_since = None
        if name := model_of(stream):
            statement = f"select count(*) from dbt_prod.{name} where _deleted_at is null"
            model = int(warehouse.execute(statement)[0][0])
            deleted_since = _deleted_since_build(warehouse, stream) if warehouse.build_is_due() else None
    return _Held(raw, rejected, model, deleted_since, frozenset(loaded), frozenset(row[0] for row in just_loaded))


def _deleted_since_build(warehouse: Warehouse, stream: Stream) -> int:
    ((found,),) = warehouse.execute(
        f"select count(*) from {stream.raw_table} where _deleted_at is not null and _loaded_at >= ("
        " select coalesce(max(started_at), timestamp '0001-01-01 00:00:00') from raw_ext.task_history"
        " where task = 'build' and outcome = 'succeeded')"
    )
    return int(found)


def _counts(settings: Settings, stream: Stream, mark: Watermark | None, held: _Held) -> Counts:
    with open_probe(stream.opens, settings) as probe:
        source = probe.counts(stream, mark)
    return Counts(source.rows, source.in_flight, held.raw, held.rejected, held.model)


def _early(mark: Watermark, stream: Stream) -> Watermark:
    """Return the watermark below which every row was read, also where a row may be written behind its cursor.

    A row that is written at most that late, and in the last minute, may be unread.
    """
    without_horizon = mark.mode.startswith(("lookback", "change stream"))
    late = max(_LATE, stream.lookback) if without_horizon else stream.lookback
    read_by_now = to_local(earlier(utc_now(), late + _LATE), stream.zone)
    return replace(mark, value=min(mark.value, max(earlier(mark.value, late), read_by_now)))


def _source_check(stream: Stream, counts: Counts, waiting: Sequence[Window]) -> Check:
    moving = counts.in_flight + sum(window.rows + window.rejected for window in waiting)
    # A rejected key may have an older row in the raw table, or may already be deleted at the source.
    least = max(0, counts.source - moving - counts.rejected)
    # A row that was deleted at the source is in the raw table until its tombstone is loaded.
    most = counts.source + sum(window.deletes.rows for window in waiting if window.deletes)
    why = [f"{moving:,} in flight"] * bool(moving) + [f"{counts.rejected:,} rejected"] * bool(counts.rejected)
    expected = f"{least:,} to {most:,}" if least < most else f"{counts.source:,}"
    compared = bool(counts.source or counts.raw)
    return Check(
        f"{stream.name}: raw keys = source rows",
        f"{expected} ({', '.join(why)})" if why else expected,
        f"{counts.raw:,}" if compared else "0: nothing was compared",
        least <= counts.raw <= most if compared else None,
    )


def _snapshot_check(stream: Stream, counts: Counts, mark: Watermark | None) -> Check:
    """Compare a table that is read as a whole. What changed since then has no mark, so a difference proves nothing."""
    equal = counts.raw == counts.source - counts.rejected
    why = [f"{counts.rejected:,} rejected"] * bool(counts.rejected)
    why.append(f"last read at {mark.value:%Y-%m-%d %H:%M:%S} UTC" if mark else "never read")
    return Check(
        f"{stream.name}: raw keys = source rows",
        f"{counts.source:,} ({', '.join(why)})",
        f"{counts.raw:,}" if equal else f"{counts.raw:,}: `adventure reconcile {stream.name}` compares the rows",
        (True if counts.source else None) if equal else None,
    )


def _left_files(entries: Sequence[StageEntry], waiting: Sequence[Window], held: _Held, mark: Watermark | None) -> int:
    """Return how many files are neither of a window that waits, nor about to be staged or cleaned up."""
    expected = {window.id for window in waiting} | held.just_loaded
    found = [entry.path.split("/")[1] for entry in entries]
    # A window's name begins with its end, so what comes after the last window is being staged.
    last = (mark.window_id or "") if mark else ""
    return sum(name not in expected and not (name[0].isdigit() and name > last) for name in found)
