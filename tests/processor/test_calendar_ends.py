"""Cursors at both ends of the calendar, such as the zero time of Go and C#, stop neither a process nor other rows."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
import pytest

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.zones import to_local, to_utc
from adventure.demo.sandbox.mongo import MongoServer
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.monitoring.checks.flow import flow_checks
from adventure.monitoring.health.rules import find_problems
from adventure.monitoring.live import read_state
from adventure.processor.run import process_once
from adventure.reconcile.run import reconcile
from tests.processor.conftest import Rows, on_standalone, stream_of, writer

Staged = Callable[[Stream], Rows]

FIRST, LAST = datetime.min, datetime.max
DAY = timedelta(days=1)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_zones_end_at_the_calendar(zone: str) -> None:
    for moment in (FIRST, LAST):
        for moved in (to_utc(moment, zone), to_local(moment, zone)):
            assert abs(moved - moment) < DAY


def look(settings: Settings, stream: Stream) -> None:
    """Run everything that reads cursors."""
    warehouse = DuckDBWarehouse(settings)
    warehouse.load(stream)
    reconcile(settings, [stream])
    list(flow_checks(settings, warehouse, stream))
    find_problems(read_state(settings, [stream], warehouse))


MOMENTS = ["0001-01-01", "0001-01-01 00:00:00.000001", "4713-01-01 BC", "9999-12-31 23:59:59.999999", "-infinity"]
MOMENTS += ["infinity", "294276-12-31 23:59:59.999999"]


@pytest.mark.parametrize(
    ("kind", "zone"), [("timestamptz", None), ("timestamp", "America/New_York"), ("timestamp", "Asia/Kolkata")]
)
def test_postgres(settings: Settings, writer_settings: Settings, kind: str, zone: str | None, staged: Staged) -> None:
    stream = replace(stream_of("ends"), timezone=zone, lookback=timedelta(hours=1))
    with writer(writer_settings) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"create table ends (id integer primary key, changed_at {kind})")  # type: ignore[arg-type]
        for number, moment in enumerate(MOMENTS):
            connection.execute(f"insert into ends values (%s, %s::{kind})", [number, moment])  # type: ignore[arg-type]
            process_once(settings, [stream])
        look(settings, stream)
        connection.execute("delete from ends")
        process_once(settings, [stream])
        connection.execute("insert into ends values (100, '2026-01-02 03:04:05')")
        process_once(settings, [stream])
    look(settings, stream)
    assert {row["id"] for row in staged(stream)} >= {0, 1, 100}


CURSORS: list[Any] = [FIRST, FIRST + timedelta(hours=5), "0001-01-01T00:00:00Z", "0001-01-01T10:00:00-14:00"]
CURSORS += ["0001-01-01T10:00:00+14:00", "9999-12-31T23:59:59.999999Z", "9999-12-31T20:00:00-14:00"]
CURSORS += ["9999-12-31T20:00:00+14:00", LAST.replace(microsecond=999000)]


@pytest.mark.parametrize("alone", [False, True], ids=["change stream", "lookback"])
def test_mongo(settings: Settings, chat_stream: Stream, staged: Staged, alone: bool, standalone: MongoServer) -> None:
    if alone:
        settings = on_standalone(settings, standalone)
    stream = replace(chat_stream, name="talks", lookback=DAY)
    with pymongo.MongoClient[dict[str, Any]](settings.mongo_conninfo) as client:
        chats = client[settings.mongo_db][settings.mongo_collection]
        for number, cursor in enumerate(CURSORS):
            chats.insert_one({"_id": number, "last_modified": cursor})
            process_once(settings, [stream])
        look(settings, stream)
        chats.delete_many({})
        process_once(settings, [stream])
        chats.insert_one({"_id": 100, "last_modified": datetime.now(UTC) - timedelta(seconds=1)})
        process_once(settings, [stream])
    look(settings, stream)
    assert {row["_id"] for row in staged(stream)} >= {0, 1, 2, 100}
