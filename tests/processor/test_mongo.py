"""Documents: cursors of both kinds, every BSON type as JSON that holds it, and the lookback."""

import base64
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import bson
import pymongo
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp

from adventure.processor.bson_json import CannotCarry, decode, to_json
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline, process_once
from adventure.processor.state import read_watermarks
from adventure.settings import Settings
from adventure.streams import Stream
from tests.processor.conftest import Rows

Staged = Callable[[Stream], Rows]
Chats = "pymongo.collection.Collection[dict[str, Any]]"

NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)


@pytest.fixture
def chats(settings: Settings) -> "Iterator[pymongo.collection.Collection[dict[str, Any]]]":
    with pymongo.MongoClient[dict[str, Any]](settings.mongo_conninfo) as client:
        yield client[settings.mongo_db][settings.mongo_collection]


@pytest.fixture
def stream(streams: tuple[Stream, ...]) -> Stream:
    return streams[2]


def names(rows: Rows) -> list[str]:
    return sorted(row["n"] for row in rows)


def test_documents_are_staged_and_then_only_what_is_new(
    settings: Settings, chats: Any, stream: Stream, staged: Staged
) -> None:
    chats.insert_one({"n": "a", "last_modified": NOW - timedelta(hours=1)})
    with open_pipeline(settings, [stream]) as pipeline:
        run_cycle(pipeline)
        chats.insert_one({"n": "b", "last_modified": NOW - timedelta(minutes=5)})
        run_cycle(pipeline)
        assert run_cycle(pipeline).streams[0].window is None
    assert names(staged(stream)) == ["a", "b"]
    assert read_watermarks(settings)["chat_logs"].value == NOW - timedelta(minutes=5) + timedelta(milliseconds=1)


@pytest.mark.parametrize(
    "text",
    [
        (NOW - timedelta(seconds=30)).isoformat(),
        (NOW - timedelta(seconds=30)).isoformat(" "),
        (NOW - timedelta(seconds=30)).isoformat() + "Z",
        (NOW - timedelta(seconds=30)).isoformat(" ") + "+00:00",
        (NOW - timedelta(seconds=30)).isoformat() + ".123456",
    ],
)
@pytest.mark.parametrize("first_window", [True, False])
def test_a_cursor_of_text_is_read_like_a_date(
    settings: Settings, chats: Any, stream: Stream, staged: Staged, text: str, first_window: bool
) -> None:
    if not first_window:
        chats.insert_one({"n": "a", "last_modified": NOW - timedelta(minutes=1)})
        process_once(settings, [stream])
    chats.insert_one({"n": "text", "last_modified": text})
    process_once(settings, [stream])
    assert names(staged(stream)).count("text") == 1
    assert {row["last_modified"] for row in staged(stream) if row["n"] == "text"} == {text}


def test_the_lookback_finds_what_came_late_and_stages_nothing_twice(
    settings: Settings, chats: Any, stream: Stream, staged: Staged
) -> None:
    chats.insert_many([{"n": "a", "last_modified": NOW}, {"n": "b", "last_modified": NOW - timedelta(seconds=20)}])
    with open_pipeline(settings, [stream]) as pipeline:
        run_cycle(pipeline)
        chats.insert_one({"n": "late", "last_modified": NOW - timedelta(seconds=40)})
        chats.update_one({"n": "b"}, {"$set": {"n": "changed, its cursor was forgotten"}})
        run_cycle(pipeline)
        assert run_cycle(pipeline).streams[0].window is None
    assert names(staged(stream)) == ["a", "b", "changed, its cursor was forgotten", "late"]


def test_a_document_of_the_future_waits(settings: Settings, chats: Any, stream: Stream, staged: Staged) -> None:
    soon = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=1)
    chats.insert_many([{"n": "a", "last_modified": NOW}, {"n": "soon", "last_modified": soon}])
    process_once(settings, [stream])
    assert names(staged(stream)) == ["a"]
    time.sleep(max(0.0, (soon - datetime.now(UTC).replace(tzinfo=None)).total_seconds() + 0.1))
    process_once(settings, [stream])
    assert "soon" in names(staged(stream))


ID = ObjectId("65f000000000000000000001")
VALUES = [
    ("objectid", ID, str(ID)),
    ("int", 7, 7),
    ("int64", Int64(2**62), 2**62),
    ("double", 0.1, 0.1),
    ("nan", float("nan"), {"$numberDouble": "NaN"}),
    ("infinity", float("-inf"), {"$numberDouble": "-Infinity"}),
    ("decimal", Decimal128("1234567890.1234567890123456789"), "1234567890.1234567890123456789"),
    ("date", datetime(2026, 1, 2, 3, 4, 5, 678000), "2026-01-02T03:04:05.678000Z"),
    ("bool", True, True),
    ("null", None, None),
    ("text", "naïve \u2028 🚲\n", "naïve \u2028 🚲\n"),
    ("array", [1, [2, {"a": None}]], [1, [2, {"a": None}]]),
    ("binary", Binary(b"\x00\xff"), {"$binary": {"base64": "AP8=", "subType": "00"}}),
    ("uuid", Binary.from_uuid(UUID(int=1)), {"$binary": {"base64": "AAAAAAAAAAAAAAAAAAAAAQ==", "subType": "04"}}),
    ("regex", Regex("^a", "i"), {"$regularExpression": {"pattern": "^a", "options": "i"}}),
    ("code", Code("f()"), {"$code": "f()"}),
    ("dbref", DBRef("c", ID), {"$ref": "c", "$id": {"$oid": str(ID)}}),
    ("minkey", MinKey(), {"$minKey": 1}),
    ("maxkey", MaxKey(), {"$maxKey": 1}),
    ("timestamp", Timestamp(5, 6), {"$timestamp": {"t": 5, "i": 6}}),
]  # fmt: skip


def test_every_bson_type_is_carried(settings: Settings, chats: Any, stream: Stream, staged: Staged) -> None:
    nested: Any = "bottom"
    for _ in range(90):
        nested = {"n": nested}
    document = {"_id": ID, "last_modified": NOW, "deep": nested} | {name: value for name, value, _ in VALUES}
    chats.insert_one(document)
    process_once(settings, [stream])
    (found,) = staged(stream)
    assert found["_id"] == str(ID)
    assert [(name, found[name]) for name, _, _ in VALUES] == [(name, json) for name, _, json in VALUES]
    assert found["deep"] == nested


def test_a_document_that_cannot_be_carried_is_set_aside_whole(
    settings: Settings, chats: Any, stream: Stream, staged: Staged, rejected: Staged
) -> None:
    chats.insert_many(
        [
            {"_id": 1, "n": "fine", "last_modified": NOW},
            {"_id": 3, "last_modified": "2001-99-01"},
            {"_id": 4},
            {"_id": 5, "last_modified": None},
            {"_id": 6, "last_modified": 17},
        ]
    )
    (report,) = process_once(settings, [stream]).streams
    assert names(staged(stream)) == ["fine"]
    reasons = {row["key"]: row["reason"] for row in rejected(stream)}
    assert set(reasons) == {"3", "4", "5", "6"}
    assert "no ISO-8601 date: '2001-99-01'" in reasons["3"]
    assert {reasons[key] for key in "456"} == {"its cursor last_modified is missing, or neither a date nor text"}
    kept = [bson.decode(base64.b64decode(row["row"]))["_id"] for row in rejected(stream)]
    assert sorted(kept) == [3, 4, 5, 6]
    assert (report.rows_staged, report.rows_rejected) == (1, 4)


def test_a_collection_that_is_not_there_yet_is_no_error(
    settings: Settings, chats: Any, stream: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    chats.drop()
    assert process_once(settings, [stream]).streams[0].window is None
    assert "there is no collection" in capsys.readouterr().out


def test_a_cursor_without_an_index_is_warned_of(
    settings: Settings, chats: Any, stream: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    chats.drop_index("last_modified_1")
    process_once(settings, [stream])
    assert "has no index on last_modified" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (bson.encode({"when": bson.datetime_ms.DatetimeMS(2**55)}), "a date outside of the years 1 to 9999"),
        (bson.encode({"text": "abc"}).replace(b"abc", b"a\xffc"), "it cannot be decoded"),
        (bson.encode({"text": "abc"})[:-3], "it cannot be decoded"),
    ],
)
def test_what_no_json_can_hold_is_refused_with_its_reason(document: bytes, reason: str) -> None:
    with pytest.raises(CannotCarry, match=reason):
        to_json(decode(document), document)


def test_text_that_both_of_its_ranges_hold_is_staged_once(
    settings: Settings, chats: Any, stream: Stream, staged: Staged
) -> None:
    chats.insert_one({"n": "a", "last_modified": NOW - timedelta(days=2)})
    with open_pipeline(settings, [stream]) as pipeline:
        run_cycle(pipeline)
        # A blank sorts before a T: over midnight, the range of one form holds days of the other.
        chats.insert_one({"n": "text", "last_modified": (NOW - timedelta(days=1)).isoformat(" ")})
        run_cycle(pipeline)
    assert names(staged(stream)) == ["a", "text"]
