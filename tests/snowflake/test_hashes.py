"""Reconcile's hashes are the same at the source, in DuckDB and in Snowflake, for keys of every type."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pymongo
import pytest
from bson import Decimal128, Int64, ObjectId

from adventure.core.settings import Settings
from adventure.core.spans import Pieces, Span, micros
from adventure.core.streams import Stream
from adventure.destinations.snowflake import account_tasks
from adventure.factory import open_source_side, open_warehouse
from adventure.processor.run import process_once
from tests.snowflake import account

pytestmark = pytest.mark.slow

TYPES = {
    "text": ["", "a", "ü'\"%\\n|:🚲", " padded "],
    "varchar(9)": ["9", "0.50", "x.y0", "-"],
    "char(6)": ["a", "a  b", "", "123456"],
    "uuid": [f"{n}0000000-0000-4000-8000-00000000000a" for n in range(4)],
    "smallint": ["-32768", "32767", "0", "10"],
    "integer": ["-2147483648", "2147483647", "0", "100"],
    "bigint": ["-9223372036854775808", "9223372036854775807", "0", "1000"],
    "numeric(38, 9)": ["-12345678901234567890123456789.123456789", "0", "0.000000001", "100.5"],
    "numeric(9, 0)": ["-999999999", "0", "100", "7"],
    "numeric": ["0.10", "-1.000", "1e20", "12345678901234567890.1"],
    "boolean": ["true", "false"],
    "date": ["0001-01-01", "1969-12-31", "2026-02-28", "9999-12-31"],
    "timestamp": ["0001-01-01 00:00:00", "1969-12-31 23:59:59.999999", "2026-01-02 03:04:05.5", "9999-12-31 23:59:59"],
    "timestamptz": [
        "0001-01-02 00:00:00+02",
        "2026-01-02 03:04:05+05:30",
        "2026-01-02 03:04:05.000010-08",
        "2026-06-01Z",
    ],
    "time": ["00:00:00", "23:59:59.999999", "12:30:00.5", "01:02:03"],
    "bytea": ["\\x", "\\x00", "\\xff00", "\\x5c78"],
    "inet": ["10.0.0.1", "::1", "10.0.0.0/8", "192.168.0.1/32"],
    "interval": ["1 day", "-1 year 2 mons", "00:00:00.5", "100 hours"],
}
"""Four keys of each; the columns are named after their places."""

CURSORS = [
    datetime(1, 1, 1),
    datetime(1969, 12, 31, 23, 59, 59, 999999),
    datetime(2024, 2, 29, 23, 59, 59, 999998),
    datetime(2026, 1, 2, 3, 4, 5, 678901),
]
SPAN = Span(micros(CURSORS[0]), micros(CURSORS[-1]) + 1)
SPANS = [
    Pieces.of(SPAN, 1),
    Pieces.of(SPAN, 1024),
    # Whose bounds are the rows themselves, to the microsecond.
    Pieces.of(Span(micros(CURSORS[1]), micros(CURSORS[2])), 3),
    Pieces.of(Span(micros(CURSORS[1]) - 1, micros(CURSORS[2]) + 1), 64),
]

TABLE = Stream("kinds", "postgres", "public", "kinds", "changed_at", ("c0",), "kinds_stage", "raw_ext.kinds_raw")
CHATS = Stream("kinds", "mongo", "", "kinds", "at", ("_id",), "kinds_stage", "raw_ext.chat_kinds_raw")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_tasks, "POLL_SEC", account.POLL_SEC)


def compared(
    settings: Settings, on_snowflake: Settings, streams: Iterable[tuple[str, Stream]], folder: Path
) -> dict[str, dict[str, Any]]:
    """The digests of each side, by what the stream's key is."""
    found: dict[str, dict[str, Any]] = {"source": {}, "duckdb": {}, "snowflake": {}}
    warehouses = {"duckdb": open_warehouse(settings), "snowflake": open_warehouse(on_snowflake)}
    for label, stream in streams:
        with ExitStack() as stack:
            source = stack.enter_context(open_source_side(settings, stream))
            found["source"][label] = [
                {number: (digest.rows, digest.hash) for number, digest in source.digests(pieces).items()}
                for pieces in SPANS
            ]
            for name, warehouse in warehouses.items():
                scratch = folder / f"{name}-{len(found['source'])}"
                scratch.mkdir()
                held = stack.enter_context(warehouse.versions(stream, source.key_kinds, [], scratch))
                found[name][label] = [
                    {number: (rows, total) for number, rows, total in held.digests(p.span.low, p.span.high, p.width)}
                    for p in SPANS
                ]
    return found


def deploy(on_snowflake: Settings, stream: Stream) -> None:
    account.begin(on_snowflake)
    account.create_tables(on_snowflake, stream)


def test_of_keys_of_every_type_of_postgresql(
    settings: Settings, writer_settings: Settings, on_snowflake: Settings, tmp_path: Path
) -> None:
    with psycopg.connect(writer_settings.postgres_dsn, autocommit=True) as connection:
        columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(TYPES))
        connection.execute(f"create table kinds (changed_at timestamp, {columns})")  # type: ignore[arg-type]
        for row, cursor in enumerate(CURSORS):
            values = [keys[row % len(keys)] for keys in TYPES.values()]
            connection.execute(
                f"insert into kinds values (%s, {', '.join(['%s'] * len(values))})",  # type: ignore[arg-type]
                [cursor, *values],
            )
        connection.execute("grant select on kinds to adventure_reader")
    deploy(on_snowflake, TABLE)
    for each in (settings, on_snowflake):
        process_once(each, [TABLE])
        assert open_warehouse(each).load(TABLE).rows == len(CURSORS)
    one_by_one = [(kind, replace(TABLE, key=(f"c{n}",))) for n, kind in enumerate(TYPES) if kind != "boolean"]
    together = [("all of them", replace(TABLE, key=tuple(f"c{n}" for n in range(len(TYPES)))))]
    found = compared(settings, on_snowflake, one_by_one + together, tmp_path)
    assert all(sum(rows for rows, _ in pieces[0].values()) == len(CURSORS) for pieces in found["source"].values())
    assert found["duckdb"] == found["source"]
    assert found["snowflake"] == found["source"]


def test_of_documents_with_ids_of_every_kind_and_cursors_of_both(
    settings: Settings, writer_settings: Settings, on_snowflake: Settings, tmp_path: Path
) -> None:
    stream = replace(CHATS, namespace=settings.mongo_db)
    ids = [
        ObjectId("6530000000000000000000aa"),
        "text",
        "ü'\"\\ 🚲",
        7,
        Int64(2**60),
        Decimal128("1.50"),
        {"a": 1},
        True,
    ]
    moments: list[Any] = [
        datetime(2026, 1, 2, 3, 4, 5, 678000),
        "2026-01-02T03:04:05.678901",
        "2026-01-02T03:04:05.678901+05:30",
        "2026-01-02 03:04:05Z",
    ]
    with pymongo.MongoClient[dict[str, Any]](writer_settings.mongo_conninfo) as client:
        client[stream.namespace][stream.table].insert_many(
            {"_id": key, "at": moments[place % len(moments)]} for place, key in enumerate(ids)
        )
    deploy(on_snowflake, stream)
    for each in (settings, on_snowflake):
        process_once(each, [stream])
        assert open_warehouse(each).load(stream).rows == len(ids)
    found = compared(settings, on_snowflake, [("documents", stream)], tmp_path)
    assert sum(rows for rows, _ in found["source"]["documents"][0].values()) == len(ids)
    assert found["duckdb"] == found["source"]
    assert found["snowflake"] == found["source"]
