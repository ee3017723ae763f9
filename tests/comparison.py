"""Compare raw tables, models, the dashboard's copy and the stages with the sources, row for row.

Each of them must contain every row of the source once, in its current version, and nothing else.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb
import orjson
import psycopg
import pymongo
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument

from adventure.core.manifest import KEY_TEXTS
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.common.duckdb_dialect import DUCKDB
from adventure.destinations.warehouse import Warehouse
from adventure.factory import open_stage, open_warehouse
from adventure.monitoring.checks import MODELS
from adventure.sources.mongo.bson_json import decode, document_line

Row = dict[str, Any]

_CHAT_COLUMNS = (
    "sales_order_id", "customer_id", "product_id", "order_date", "chat_start_time", "chat_completion_time",
    "ticket_channel", "ticket_type", "ticket_subject", "ticket_description", "ticket_priority", "ticket_status",
    "resolution", "customer_satisfaction_rating", "messages", "last_modified",
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """The result of comparing one part of the flow with the source."""

    station: str
    rows: int
    """Rows at the source; all are compared."""
    lost: tuple[str, ...]
    """Keys that are missing or have another version."""
    doubled: tuple[str, ...]
    """Keys that appear more than once, or files that were loaded more than once."""
    extra: tuple[str, ...]
    """Keys that the source does not have."""

    @property
    def holds(self) -> bool:
        return not (self.lost or self.doubled or self.extra)


def compare_raw(settings: Settings, stream: Stream) -> Comparison:
    """Compare the latest version of each key in the raw table; check each file's rows against the ledger."""
    warehouse = open_warehouse(settings)
    source = dict(source_rows(settings, stream))
    doubled = [
        f"{file}: {rows} rows, {entries} ledger entries" for file, rows, entries in _loaded_twice(warehouse, stream)
    ]
    return _compare(stream.raw_table, source, _latest_raw(warehouse, stream), doubled)


def compare_latest(settings: Settings, stream: Stream) -> Comparison:
    """Compare the view of latest versions, in the source's present columns; check each file against the ledger."""
    warehouse = open_warehouse(settings)
    source = dict(source_rows(settings, stream))
    names = (*stream.key, *next(iter(source.values()), {}))
    found = warehouse.execute(f"select {', '.join(names)} from {stream.latest_view}")
    rows = [(str(row[0]), dict(zip(names[1:], map(_plain, row[1:]), strict=True))) for row in found]
    doubled = [
        f"{file}: {rows} rows, {entries} ledger entries" for file, rows, entries in _loaded_twice(warehouse, stream)
    ]
    return _compare(stream.latest_view, source, rows, doubled)


def compare_model(settings: Settings, stream: Stream) -> Comparison:
    """Compare the model that contains each key of the stream once."""
    warehouse, model = open_warehouse(settings), f"dbt_prod.{MODELS[stream.name]}"
    source = dict(source_rows(settings, stream))
    if stream.source == "mongo":
        names: tuple[str, ...] = ("chat_id", *_CHAT_COLUMNS)
        source = {key: {name: row.get(name) for name in _CHAT_COLUMNS} for key, row in source.items()}
    else:
        names = (*stream.key, *next(iter(source.values())))
    columns = ", ".join(names)
    found = warehouse.execute(f"select {columns} from {model} where _deleted_at is null")
    rows = [(str(row[0]), dict(zip(names[1:], map(_plain, row[1:]), strict=True))) for row in found]
    for _, row in rows:
        if "messages" in row and row["messages"] is not None:
            row["messages"] = orjson.loads(row["messages"])
    return _compare(model, source, rows)


def compare_dashboard(settings: Settings) -> Comparison:
    """Compare orders, units and revenue by day and channel in the published copy."""
    with psycopg.connect(settings.postgres_dsn) as source:
        expected = source.execute(
            """
            select date_trunc('day', o.order_date), o.online_order_flag = 1, count(*), sum(l.units), sum(o.sub_total)
            from orders as o
            cross join lateral (
                select sum(d.order_qty) as units from order_details as d where d.sales_order_id = o.sales_order_id
            ) as l
            group by 1, 2
            """
        ).fetchall()
    with duckdb.connect(str(settings.published_path), read_only=True) as copy:
        found = copy.execute(
            """
            select date_trunc('day', order_hour)::timestamp, channel = 'online', sum(orders), sum(units), sum(revenue)
            from sales_by_hour
            group by all
            """
        ).fetchall()
    cells, shown = (
        [
            (f"{day:%Y-%m-%d} {online}", {str(number): _plain(figure) for number, figure in enumerate(figures)})
            for day, online, *figures in rows
        ]
        for rows in (expected, found)
    )
    return _compare("dashboard", dict(cells), shown)


def leftover_files(settings: Settings, streams: Iterable[Stream]) -> list[str]:
    """Return files left in the stages and in the folders for unfinished files."""
    stage = open_stage(settings)
    staged = [entry.path for stream in streams for entry in stage.entries(stream.stage)]
    made = [path for folder in (settings.stage_dir / ".tmp", settings.unfinished_dir) for path in folder.rglob("*")]
    return staged + [str(path.relative_to(settings.data_dir)) for path in made if path.is_file()]


def count_rows_staged_twice(settings: Settings, stream: Stream) -> int:
    """Return the number of rows of the raw table whose key and version appear more than once.

    A row at or past the end of its window does not count: it was staged with the rows that refer to it, and the next
    window holds it again.
    """
    key, version = _key_and_version(stream)
    past = f"and {version} < high" if stream.source == "postgres" else ""
    (count,), *_ = open_warehouse(settings).execute(
        f"select count(*) - count(distinct ({key}, {version})) from {stream.raw_table} as loaded"
        " join (select distinct stage, window_id, high from raw_ext.load_history) as windows"
        f" on starts_with(_file, stage || '/' || window_id || '/') {past} where _deleted_at is null"
    )
    return int(count)


def source_rows(settings: Settings, stream: Stream) -> Iterator[tuple[str, Row]]:
    """Return the rows of the source by key."""
    if stream.source == "mongo":
        with pymongo.MongoClient[RawBSONDocument](
            settings.mongo_conninfo, document_class=RawBSONDocument, serverSelectionTimeoutMS=10_000
        ) as client:
            collection = client[stream.namespace].get_collection(stream.table, DEFAULT_RAW_BSON_OPTIONS)
            for document in collection.find():
                raw = bytes(document.raw)
                yield _document(orjson.loads(document_line(decode(raw), raw, stream)))
        return
    with psycopg.connect(settings.postgres_dsn, row_factory=psycopg.rows.dict_row) as connection:
        for row in connection.execute(f"select * from {stream.location}"):  # type: ignore[arg-type]
            key = str(row.pop(stream.key[0]))
            yield key, {name: _plain(value) for name, value in row.items()}


def _latest_raw(warehouse: Warehouse, stream: Stream) -> list[tuple[str, Row]]:
    key, version = _key_and_version(stream)
    columns = [
        name
        for (name,) in warehouse.execute(
            "select column_name from duckdb_columns() where schema_name || '.' || table_name = ? order by column_index",
            [stream.raw_table],
        )
        if not name.startswith("_") and name != stream.key[0]
    ]
    found = warehouse.execute(
        f"""
        select {key}, {", ".join(columns)} from {stream.raw_table}
        qualify row_number() over (
            partition by {key} order by {version} desc, _loaded_at desc, _file desc, _file_row desc
        ) = 1 and _deleted_at is null
        """
    )
    if stream.source == "mongo":
        return [_document(orjson.loads(raw)) for _, raw in found]
    return [(row[0], dict(zip(columns, map(_plain, row[1:]), strict=True))) for row in found]


def _loaded_twice(warehouse: Warehouse, stream: Stream) -> list[tuple[Any, ...]]:
    """Return files whose rows in the raw table, or entries in the ledger, do not match a single load."""
    return warehouse.execute(
        f"""
        with loaded as (
            select _file, count(*) as rows, count(distinct _file_row) as distinct_rows
            from {stream.raw_table}
            group by 1
        ),
        ledger as (
            select stage || '/' || window_id || '/' || file as _file, sum(rows) as rows, count(*) as entries
            from raw_ext.load_history
            where stream = ? and kind in ('data', 'deletes')
            group by 1
        )
        select _file, loaded.rows, ledger.entries
        from loaded full join ledger using (_file)
        where coalesce(loaded.rows, 0) is distinct from ledger.rows or loaded.rows <> loaded.distinct_rows
            or ledger.entries <> 1
        """,
        [stream.name],
    )


def _key_and_version(stream: Stream) -> tuple[str, str]:
    if stream.source == "mongo":
        return DUCKDB.key_value(stream, "_id"), f"cast(raw ->> '{stream.cursor}' as timestamptz)"
    return stream.key[0], stream.cursor


def _compare(
    station: str, source: dict[str, Row], found: list[tuple[str, Row]], doubled: Iterable[str] = ()
) -> Comparison:
    there = dict(found)
    counts = Counter(key for key, _ in found)
    return Comparison(
        station,
        len(source),
        tuple(key for key, row in source.items() if there.get(key) != row),
        (*(key for key, count in counts.items() if count > 1), *doubled),
        tuple(key for key in there if key not in source),
    )


def _document(document: Row) -> tuple[str, Row]:
    key = str(document.get(KEY_TEXTS, document)["_id"])
    del document["_id"]
    return key, {name: _plain(value) for name, value in document.items()}


def _plain(value: Any) -> Any:
    """Convert numbers, identifiers and dates to text, so that values of different types compare equal."""
    match value:
        case None | list() | dict():
            return value
        case bool():
            return str(int(value))
        case Decimal():
            return format(value.normalize(), "f")
        case datetime():
            return value.isoformat(timespec="microseconds")
        case str() if len(value) > 18 and value[10] == "T" and value.endswith("Z"):
            return datetime.fromisoformat(value[:-1]).isoformat(timespec="microseconds")
        case _:
            return str(value)
