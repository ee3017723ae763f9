"""Check that raw tables and models contain the rows of the sources.

The checks also work while there are new sales: they allow for rows in flight between two layers, and show them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from adventure.core.errors import SourceRefused, SourceShapeError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.warehouse import Warehouse
from adventure.factory import open_probe, open_stage
from adventure.monitoring.checks.check import Check
from adventure.processor.state import read_watermarks

MODELS = {
    "orders": "base_real_time__sales_orders",
    "order_details": "base_real_time__order_details",
    "chat_logs": "stg_real_time__chat_logs",
}
"""The model with one row per key, for each shipped stream."""
_KEYS = {"orders": ("sales_order_id",), "order_details": ("sales_order_detail_id",), "chat_logs": ("_id",)}


def model_of(stream: Stream) -> str | None:
    """Return the model with one row per key; None for a stream of one's own, even if it has a shipped stream's name."""
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


def count_rows(settings: Settings, warehouse: Warehouse, stream: Stream) -> Counts:
    """Count one stream's rows. The last layer is counted first, so that new sales only add rows at the source.

    Raises:
        SourceError: the source does not answer, or refuses.
        WarehouseError: the warehouse cannot be read.
    """
    model = None
    if name := model_of(stream):
        statement = f"select count(*) from dbt_prod.{name} where _deleted_at is null"
        model = int(warehouse.execute(statement)[0][0])
    raw = warehouse.live_key_count(stream)
    rejected = warehouse.outstanding_rejects(stream, datetime.min)
    mark = read_watermarks(settings).get(stream.name)
    with open_probe(stream.source, settings) as probe:
        source = probe.counts(stream, mark)
    return Counts(source.rows, source.in_flight, raw, rejected, model)


def flow_checks(settings: Settings, warehouse: Warehouse, stream: Stream) -> Iterator[Check]:
    """Check one stream's keys at each layer, and its stage for leftover files."""
    stage = open_stage(settings)
    windows = stage.windows(stream.stage)
    loaded = warehouse.loaded(windows)
    waiting = [window for window in windows if window.id not in loaded]
    try:
        counts = count_rows(settings, warehouse, stream)
    except (SourceRefused, SourceShapeError) as error:
        yield Check(f"{stream.name}: raw keys = source rows", "-", f"{error}", holds=False)
        return
    moving = counts.in_flight + sum(window.rows + window.rejected for window in waiting)
    # A rejected key may have an older row in the raw table, or may already be deleted at the source.
    least = max(0, counts.source - moving - counts.rejected)
    why = [f"{moving:,} in flight"] * bool(moving) + [f"{counts.rejected:,} rejected"] * bool(counts.rejected)
    expected = f"{least:,} to {counts.source:,} ({', '.join(why)})" if why else f"{counts.source:,}"
    compared = bool(counts.source or counts.raw)
    yield Check(
        f"{stream.name}: raw keys = source rows",
        expected,
        f"{counts.raw:,}" if compared else "0: nothing was compared",
        least <= counts.raw <= counts.source if compared else None,
    )
    if counts.model is not None:
        # The model lags behind the raw table by the rows loaded since the last build.
        since = 0 if not warehouse.build_is_due() else counts.raw - counts.model
        low = counts.raw - max(0, since)
        yield Check(
            f"{stream.name}: {MODELS[stream.name]} = raw keys",
            f"{counts.raw:,}" if low == counts.raw else f"{low:,} to {counts.raw:,}",
            f"{counts.model:,}",
            low <= counts.model <= counts.raw,
        )
    files = len(stage.entries(stream.stage)) - sum(len(window.all_files) + 1 for window in waiting)
    yield Check(f"{stream.name}: loaded files left in {stream.stage}", "0", f"{files:,}", files == 0)
