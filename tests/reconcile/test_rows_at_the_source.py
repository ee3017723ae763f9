"""`check` and `reconcile` mean the same rows when they speak of a stream's rows at the source."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pymongo
import pytest

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.monitoring.checks.flow import count_rows, flow_checks
from adventure.processor.run import process_once
from adventure.reconcile.run import reconcile
from tests.processor.conftest import stream_of

NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
USABLE = [NOW - timedelta(seconds=seconds) for seconds in (40, 30, 20)]

Insert = Callable[[Settings, dict[int, Any]], None]


def into_postgres(settings: Settings, cursors: dict[int, Any]) -> None:
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        connection.execute("create table if not exists rows (id integer primary key, changed_at timestamp)")
        for key, cursor in cursors.items():
            connection.execute("insert into rows values (%s, %s::timestamp)", [key, cursor])


def into_mongo(settings: Settings, cursors: dict[int, Any]) -> None:
    with pymongo.MongoClient[dict[str, Any]](settings.mongo_conninfo) as client:
        client[settings.mongo_db]["rows"].insert_many([{"_id": key, "at": at} for key, at in cursors.items()])


POSTGRES = stream_of("rows")
MONGO = stream_of("rows", source="mongo", namespace="", cursor="at", key=("_id",))


@pytest.mark.parametrize(
    ("stream", "insert", "unusable"),
    [
        (POSTGRES, into_postgres, ["infinity", None, "0044-03-15 BC", "10000-01-01"]),
        (MONGO, into_mongo, [None, [NOW], "tomorrow", 7]),
    ],
    ids=["postgres", "mongo"],
)
def test_rows_that_no_window_can_bring_are_not_in_flight(
    settings: Settings, writer_settings: Settings, stream: Stream, insert: Insert, unusable: list[Any]
) -> None:
    stream = stream_of(**vars(stream) | {"namespace": stream.namespace or settings.mongo_db})
    insert(writer_settings, dict(enumerate(USABLE)))
    process_once(settings, [stream])
    warehouse = DuckDBWarehouse(settings)
    warehouse.load(stream)
    insert(writer_settings, {10: NOW + timedelta(minutes=1), 11: NOW + timedelta(minutes=2)})
    insert(writer_settings, dict(enumerate(unusable, start=20)))

    counts = count_rows(settings, warehouse, stream)
    assert (counts.source, counts.in_flight, counts.raw) == (9, 2, 3)
    (report,) = reconcile(settings, [stream])
    assert report.result
    assert (report.result.rows, report.result.count("unusable")) == (3, 4)
    assert next(flow_checks(settings, warehouse, stream)).failed
