"""Test the views with the latest version of each row."""

from typing import Any

import pymongo

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.factory import open_warehouse
from adventure.processor.run import process_once
from tests.processor.conftest import stream_of, writer


def rows_of(settings: Settings, statement: str) -> list[tuple[Any, ...]]:
    return open_warehouse(settings).execute(statement)


def test_a_view_holds_each_row_once_in_its_latest_version(settings: Settings, writer_settings: Settings) -> None:
    stream = stream_of("things", raw_table="raw_ext.things_raw")
    with writer(writer_settings) as connection:
        for statement in (
            "create table things (id integer primary key, n integer,"
            " changed_at timestamp default (now() at time zone 'utc'))",
            "insert into things (id, n) values (1, 1), (2, 2)",
            "update things set n = 10, changed_at = now() at time zone 'utc' where id = 1",
            "alter table things add column note text; insert into things (id, n, note) values (3, 3, 'x')",
        ):
            connection.execute(statement)  # type: ignore[arg-type]
            process_once(settings, (stream,))
            open_warehouse(settings).load(stream)
    assert rows_of(settings, "select id, n, note from raw_ext.things_latest order by id") == [
        (1, 10, None),
        (2, 2, None),
        (3, 3, "x"),
    ]
    assert rows_of(settings, "select count(*) from raw_ext.things_raw") == [(4,)]


def test_a_deleted_document_leaves_the_view(settings: Settings, streams: tuple[Stream, ...]) -> None:
    stream = streams[2]
    with pymongo.MongoClient[dict[str, Any]](settings.mongo_conninfo) as client:
        chats = client[stream.namespace][stream.table]
        chats.insert_many([{"_id": n, "last_modified": f"2026-01-0{n}T00:00:00Z"} for n in (1, 2)])
        process_once(settings, (stream,))
        chats.delete_one({"_id": 1})
        process_once(settings, (stream,))
    open_warehouse(settings).load(stream)
    assert rows_of(settings, "select raw->>'_id' from raw_ext.chat_logs_latest") == [("2",)]
