"""The data-flow checks: does what the sources hold stand in the raw tables and the models, and does it look right?

They may run while sales go on: what is in flight between two stations is allowed for, and shown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt

from psycopg import sql

from adventure.connect import connect_mongo, connect_postgres, translating_mongo, translating_postgres
from adventure.processor.state import read_watermarks
from adventure.settings import Settings
from adventure.stage import open_stage
from adventure.stage.manifest import utc_now
from adventure.streams import Stream
from adventure.warehouse import Warehouse, open_warehouse

MODELS = {
    "orders": "base_real_time__sales_orders",
    "order_details": "base_real_time__order_details",
    "chat_logs": "stg_real_time__chat_logs",
}
"""The model that holds each key of a shipped stream once."""

COLUMNS = (
    "sales_order_id", "customer_id", "account_number", "bill_to_address_id", "comment", "credit_card_approval_code",
    "credit_card_id", "currency_rate_id", "delivery_estimate_days", "due_date", "freight", "modified_date",
    "online_order_flag", "order_date", "order_details", "purchase_order_number", "revision_number",
    "sales_order_number", "sales_person_id", "ship_date", "shipping_method", "ship_to_address_id", "status",
    "sub_total", "tax_amt", "territory_id", "total_due",
)  # fmt: skip
"""Of `stg_ecom__sales_orders`, in its order."""

SHARES = {
    "comment": 0.0,
    "delivery_estimate_days": 0.0,
    "credit_card_id": 0.964,
    "credit_card_approval_code": 0.964,
    "currency_rate_id": 0.444,
    # Only stores' orders have them.
    "purchase_order_number": 0.121,
    "sales_person_id": 0.121,
}
"""Expected shares of rows that are not null, where that is not all of them."""

LINE_COLUMNS = (
    "sales_order_detail_id", "carrier_tracking_number", "order_qty", "product_id", "special_offer_id", "unit_price",
    "unit_price_discount", "line_total", "modified_date",
)  # fmt: skip

LINES_PER_ORDER = 3.83
_LINES_DEVIATION = 8.0
"""Standard deviation of the number of lines of an order: stores order up to 72."""

DAYS = 30


@dataclass(frozen=True)
class Check:
    """One check: what was expected, what was found, and whether that holds."""

    name: str
    expected: str
    actual: str
    holds: bool


@dataclass(frozen=True)
class Counts:
    """Rows of one stream at each station."""

    source: int
    in_flight: int
    """Of them, those that changed at or after the watermark: the next window brings them."""
    raw: int
    """Keys in the raw table that are not deleted, and rows set aside."""
    model: int | None
    """Rows of the model that are not deleted; None for a stream that has none here."""


def run_checks(settings: Settings, streams: Sequence[Stream]) -> list[Check]:
    """All checks.

    Raises:
        SourceError: a source does not answer, or refuses.
        WarehouseError: the warehouse cannot be read.
    """
    warehouse = open_warehouse(settings)
    checks: list[Check] = []
    for stream in streams:
        checks += _flow_checks(settings, warehouse, stream)
    if {stream.name for stream in streams} >= set(MODELS):
        checks += _order_checks(warehouse)
        checks += _line_checks(warehouse)
    return checks


def count_rows(settings: Settings, warehouse: Warehouse, stream: Stream) -> Counts:
    """Counts one stream's rows, last station first, so that sales that go on only add at the source.

    Raises:
        SourceError: the source does not answer, or refuses.
        WarehouseError: the warehouse cannot be read.
    """
    model = None
    if stream.name in MODELS:
        held = f"select count(*) from dbt_prod.{MODELS[stream.name]} where _deleted_at is null"
        model = int(warehouse.query(held)[0][0])
    raw = warehouse.distinct_keys(stream)
    rejected_keys = "select count(distinct key) from raw_ext.rejected_rows where stream = ?"
    rejected = warehouse.query(rejected_keys, [stream.name])[0][0]
    mark = read_watermarks(settings).get(stream.name)
    count = _count_postgres if stream.source == "postgres" else _count_mongo
    source, in_flight = count(settings, stream, mark.value if mark else None)
    return Counts(source, in_flight, raw + rejected, model)


def _flow_checks(settings: Settings, warehouse: Warehouse, stream: Stream) -> Iterator[Check]:
    stage = open_stage(settings)
    windows = stage.windows(stream.stage)
    loaded = warehouse.loaded(windows)
    waiting = [window for window in windows if window.id not in loaded]
    counts = count_rows(settings, warehouse, stream)
    moving = counts.in_flight + sum(window.rows + window.rejected for window in waiting)
    expected = f"{counts.source:,}" if not moving else f"{counts.source - moving:,} to {counts.source:,} (in flight)"
    yield Check(
        f"{stream.name}: raw keys = source rows",
        expected,
        f"{counts.raw:,}",
        counts.source - moving <= counts.raw <= counts.source,
    )
    if counts.model is not None:
        rejected = warehouse.totals([stream])[stream.name].rejected
        # The model lags behind the raw table by what was loaded since the last build.
        since = 0 if not warehouse.build_is_due() else counts.raw - counts.model
        low = counts.raw - rejected - max(0, since)
        yield Check(
            f"{stream.name}: {MODELS[stream.name]} = raw keys",
            f"{counts.raw:,}" if low == counts.raw else f"{low:,} to {counts.raw:,}",
            f"{counts.model:,}",
            low <= counts.model <= counts.raw,
        )
    files = len(stage.entries(stream.stage)) - sum(len(window.all_files) + 1 for window in waiting)
    yield Check(f"{stream.name}: loaded files left in {stream.stage}", "0", f"{files:,}", files == 0)


def _order_checks(warehouse: Warehouse) -> Iterator[Check]:
    counted = ", ".join(f"count({column})" for column in COLUMNS)
    rows = warehouse.query(
        f"select count(*), {counted} from dbt_prod.stg_ecom__sales_orders where order_date >= ?", [_since()]
    )
    total, *found = rows[0]
    yield Check(f"orders of the last {DAYS} days", "some", f"{total:,}", total > 0)
    if total:
        for column, count in zip(COLUMNS, found, strict=True):
            yield _share_check(f"stg_ecom__sales_orders.{column}: not null", SHARES.get(column, 1.0), count, total)


def _line_checks(warehouse: Warehouse) -> Iterator[Check]:
    counted = ", ".join(f"count({column})" for column in LINE_COLUMNS)
    rows = warehouse.query(
        f"select count(*), count(distinct sales_order_id), {counted} from dbt_prod.int_sales_order_line_items"
        " where order_date >= ?",
        [_since()],
    )
    lines, orders, *found = rows[0]
    if not lines:
        return
    for column, count in zip(LINE_COLUMNS, found, strict=True):
        yield _share_check(f"nested lines, {column}: not null", 1.0, count, lines)
    tolerance = max(0.1, 4 * _LINES_DEVIATION / sqrt(orders))
    mean = lines / orders
    yield Check(
        "lines per order",
        f"{LINES_PER_ORDER} ± {tolerance:.2f}",
        f"{mean:.3f}",
        abs(mean - LINES_PER_ORDER) <= tolerance,
    )


def _share_check(name: str, share: float, count: int, total: int) -> Check:
    """All and none are exact; between them four standard errors are allowed, and no less than 0.02."""
    tolerance = 0.0 if share in (0.0, 1.0) else max(0.02, 4 * sqrt(share * (1 - share) / total))
    found = count / total
    expected = f"{share:g}" if tolerance == 0 else f"{share:g} ± {tolerance:.3f}"
    return Check(name, expected, f"{found:.3f}", abs(found - share) <= tolerance)


def _since() -> datetime:
    today = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=DAYS - 1)


def _count_postgres(settings: Settings, stream: Stream, watermark: datetime | None) -> tuple[int, int]:
    conninfo, name = settings.postgres_dsn, "the source database"
    table = sql.Identifier(stream.namespace, stream.table)
    cursor = sql.Identifier(stream.cursor)
    connection = connect_postgres(conninfo, name=name, autocommit=True)
    with connection, translating_postgres(conninfo, name):
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
        changed = collection.count_documents({stream.cursor: {"$gte": watermark}})
        changed += collection.count_documents({stream.cursor: {"$gte": watermark.isoformat(" ")}})
        return total, changed
