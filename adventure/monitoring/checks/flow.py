"""Does what the sources hold stand in the raw tables and the models, row for row?

May be asked while sales go on: what is in flight between two stations is allowed for, and shown.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from psycopg import sql

from adventure.core.clock import earlier
from adventure.core.connect import translating_postgres
from adventure.core.errors import SourceRefused, SourceShapeError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.warehouse import Warehouse
from adventure.factory import open_stage
from adventure.monitoring.checks.check import Check
from adventure.processor.state import read_watermarks
from adventure.sources.mongo.connect import connect_mongo, translating_mongo
from adventure.sources.mongo.cursors import cursors_from
from adventure.sources.postgres.access import require_access
from adventure.sources.postgres.resolution import lookback
from adventure.sources.postgres.session import NAME, open_session

MODELS = {
    "orders": "base_real_time__sales_orders",
    "order_details": "base_real_time__order_details",
    "chat_logs": "stg_real_time__chat_logs",
}
"""The model that holds each key of a shipped stream once."""


@dataclass(frozen=True)
class Counts:
    """Rows of one stream at each station."""

    source: int
    in_flight: int
    """Of them, those that changed at or after the watermark: the next window brings them."""
    raw: int
    """Keys in the raw table that are not deleted."""
    rejected: int
    """Keys that were rejected and of which no row was loaded since."""
    model: int | None
    """Rows of the model that are not deleted; None for a stream that has none here."""


def count_rows(settings: Settings, warehouse: Warehouse, stream: Stream) -> Counts:
    """Counts one stream's rows, last station first, so that sales that go on only add at the source.

    Raises:
        SourceError: the source does not answer, or refuses.
        WarehouseError: the warehouse cannot be read.
    """
    model = None
    if stream.name in MODELS:
        held = f"select count(*) from dbt_prod.{MODELS[stream.name]} where _deleted_at is null"
        model = int(warehouse.execute(held)[0][0])
    raw = warehouse.live_key_count(stream)
    rejected = warehouse.outstanding_rejects(stream, datetime.min)
    mark = read_watermarks(settings).get(stream.name)
    if stream.source == "postgres":
        # The next window looks below the watermark for rows of units that were not over.
        coarse = lookback(replace(stream, lookback=timedelta(0)), mark, blind=False)
        source, in_flight = _count_postgres(settings, stream, earlier(mark.value, coarse) if mark else None)
    else:
        source, in_flight = _count_mongo(settings, stream, mark.value if mark else None)
    return Counts(source, in_flight, raw, rejected, model)


def flow_checks(settings: Settings, warehouse: Warehouse, stream: Stream) -> Iterator[Check]:
    """One stream's keys at each station, and what its stage has left."""
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
    # A rejected key may have an older row in the raw table, and may be deleted at the source by now.
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
        # The model lags behind the raw table by what was loaded since the last build.
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


def _count_postgres(settings: Settings, stream: Stream, watermark: datetime | None) -> tuple[int, int]:
    table = sql.Identifier(stream.namespace, stream.table)
    cursor = sql.Identifier(stream.cursor)
    with open_session(settings) as connection, translating_postgres(settings.postgres_dsn, NAME):
        require_access(connection, stream, settings.postgres_user)
        changed = connection.execute(
            sql.SQL("select count(*) from {} where {} >= %s").format(table, cursor), [watermark or datetime(1, 1, 1)]
        ).fetchone()
        total = connection.execute(sql.SQL("select count(*) from {}").format(table)).fetchone()
    assert total is not None
    assert changed is not None
    return int(total[0]), int(changed[0])


def _count_mongo(settings: Settings, stream: Stream, watermark: datetime | None) -> tuple[int, int]:
    uri, name = settings.mongo_conninfo, "the source of the documents"
    with connect_mongo(uri, name=name) as client, translating_mongo(uri, name):
        collection = client[stream.namespace][stream.table]
        total = collection.count_documents({})
        if watermark is None:
            return total, total
        return total, sum(1 for _ in cursors_from(collection, stream.cursor, watermark))
