"""Keys of every kind stay distinct from the collection to the raw table and back, and none is deleted by mistake."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.processor.run import process_once
from adventure.reconcile.run import reconcile
from adventure.sources.mongo.bson_json import decode, document_line
from adventure.sources.mongo.bson_walk import CannotConvert
from adventure.sources.mongo.keys import key_text, key_value, value_at, with_keys

AT = datetime(2026, 1, 2, 3, 4, 5)
HEX = "6530000000000000000000aa"
KINDS: dict[str, Any] = {
    "plain": "plain",
    HEX: ObjectId(HEX),
    f'"{HEX}"': HEX,
    "5": 5,
    '"5"': "5",
    "7": 7.0,
    "8": Int64(8),
    "9": Decimal128("9.00"),
    "10000000000000000": 1e16,
    '{"$numberDouble":"1e+300"}': 1e300,
    '{"$numberDouble":"5.5"}': 5.5,
    '"{\\"$numberDouble\\":\\"5.5\\"}"': '{"$numberDouble":"5.5"}',
    '{"$numberDecimal":"5.55"}': Decimal128("5.55"),
    "true": True,
    '"true"': "true",
    '{"$date":{"$numberLong":"1767323045000"}}': AT,
    "2026-01-02T03:04:05Z": "2026-01-02T03:04:05Z",
    '{"day":{"$date":{"$numberLong":"1767323045000"}},"n":{"$numberInt":"1"}}': {"day": AT, "n": 1},
    f'{{"id":{{"$oid":"{HEX}"}}}}': {"id": ObjectId(HEX)},
    f'{{"id":"{HEX}"}}': {"id": HEX},
    '{"total":{"$numberDecimal":"1.10"}}': {"total": Decimal128("1.10")},
    '{"$binary":{"base64":"AAE=","subType":"80"}}': Binary(b"\x00\x01", 0x80),
    '{"$timestamp":{"t":1,"i":2}}': Timestamp(1, 2),
    '{"$minKey":1}': MinKey(),
    '{"$maxKey":1}': MaxKey(),
    '"\\"x"': '"x',
    "": "",
    "5.5": "5.5",
    "ü 🚲": "ü 🚲",
}


@pytest.mark.parametrize("text", KINDS)
def test_each_kind_has_one_text_and_the_way_back(text: str) -> None:
    value = KINDS[text]
    assert key_text(value) == text
    back = key_value(text)
    assert key_text(back) == text
    assert back == (value.to_decimal() if isinstance(value, Decimal128) and text == "9" else value)


@given(st.text())
def test_text_round_trips(value: str) -> None:
    assert key_value(key_text(value)) == value


@pytest.mark.parametrize("text", ['{"a":', '"open', '{"a": 1}', "[1", '{"$oid":"x"}'])
def test_text_that_is_no_key_finds_no_document(text: str) -> None:
    with pytest.raises(ValueError, match="is no key"):
        key_value(text)
    assert with_keys(["_id"], [(text,)]) == {"_id": {"$in": []}}


@pytest.fixture
def every_kind(chat_stream: Stream, chats: Any) -> Stream:
    chats.insert_many([{"_id": value, "last_modified": AT} for value in KINDS.values()])
    return replace(chat_stream, lookback=timedelta(0))


def raw_keys(warehouse: DuckDBWarehouse, *, living: bool) -> list[str]:
    rows = warehouse.execute(
        """
        select coalesce(json_extract_string(raw, '$."_adventure_key"."_id"'), json_extract_string(raw, '$."_id"'))
        from raw_ext.chat_logs_raw where (_deleted_at is null) = ?
        """,
        [living],
    )
    return sorted(key for (key,) in rows)


def test_no_two_keys_become_one(settings: Settings, every_kind: Stream) -> None:
    process_once(settings, [every_kind])
    warehouse = DuckDBWarehouse(settings)
    warehouse.load(every_kind)
    assert raw_keys(warehouse, living=True) == sorted(KINDS)
    assert warehouse.live_key_count(every_kind) == len(KINDS)


def test_a_repair_deletes_no_living_document(settings: Settings, every_kind: Stream) -> None:
    process_once(settings, [every_kind])
    warehouse = DuckDBWarehouse(settings)
    warehouse.load(every_kind)
    # Delete every row, so that each key is looked up at the source.
    warehouse.execute(
        'update raw_ext.chat_logs_raw set raw = json_merge_patch(raw, \'{"last_modified": "2020-01-01"}\')'
    )
    (report,) = reconcile(settings, [every_kind], repair=True)
    assert report.result is not None
    assert {verdict: found.rows for verdict, found in report.result.verdicts.items()} == {"stale": len(KINDS)}
    assert report.repaired is not None
    assert (report.repaired.rows, report.repaired.deleted) == (len(KINDS), 0)
    warehouse.load(every_kind)
    (report,) = reconcile(settings, [every_kind])
    assert report.result is not None
    assert report.result.verdicts == {}


def test_deletions_meet_their_rows(settings: Settings, every_kind: Stream, chats: Any) -> None:
    process_once(settings, [every_kind])
    chats.delete_many({"_id": {"$ne": "plain"}})
    process_once(settings, [every_kind])
    warehouse = DuckDBWarehouse(settings)
    warehouse.load(every_kind)
    assert raw_keys(warehouse, living=False) == sorted(set(KINDS) - {"plain"})
    assert warehouse.live_key_count(every_kind) == 1


def test_a_key_that_is_null_is_rejected_with_its_reason(
    settings: Settings, chat_stream: Stream, chats: Any, rejected: Any
) -> None:
    chats.insert_many([{"_id": None, "last_modified": AT}, {"_id": "good", "last_modified": AT}])
    process_once(settings, [chat_stream])
    assert [row["reason"] for row in rejected(chat_stream)] == ["its key _id is missing or null"]


def test_the_documents_of_a_view_without_an_id_are_rejected(
    settings: Settings, chats: Any, chat_stream: Stream, staged: Any, rejected: Any
) -> None:
    chats.insert_one({"_id": 1, "last_modified": AT})
    pipeline = [{"$project": {"_id": 0, "last_modified": 1}}]
    chats.database.command({"create": "without_id", "viewOn": chats.name, "pipeline": pipeline})
    view = replace(chat_stream, table="without_id")
    assert process_once(settings, [view]).failures == {}
    assert staged(view) == []
    assert [row["reason"] for row in rejected(view)] == ["its key _id is missing or null"]


def test_a_member_of_our_own_in_a_document_is_rejected(chat_stream: Stream) -> None:
    raw = bson.encode({"_id": 1, "_adventure_key": {"_id": "2"}})
    with pytest.raises(CannotConvert, match="which Adventure uses"):
        document_line(decode(raw), raw, chat_stream)


class TestPaths:
    """A cursor in a nested object, such as `meta.updatedAt`."""

    @pytest.fixture
    def nested(self, chat_stream: Stream, chats: Any) -> Stream:
        chats.create_index("meta.updatedAt")
        chats.insert_many([{"_id": number, "meta": {"updatedAt": AT.replace(minute=number)}} for number in range(5)])
        chats.insert_one({"_id": 9, "meta.updatedAt": AT})
        return replace(chat_stream, cursor="meta.updatedAt")

    def test_it_is_followed_from_the_source_to_the_warehouse(
        self, settings: Settings, nested: Stream, chats: Any
    ) -> None:
        process_once(settings, [nested])
        chats.update_one({"_id": 3}, {"$set": {"meta.updatedAt": AT.replace(hour=9)}})
        chats.delete_one({"_id": 4})
        process_once(settings, [nested])
        warehouse = DuckDBWarehouse(settings)
        warehouse.load(nested)
        assert warehouse.live_key_count(nested) == 4
        (report,) = reconcile(settings, [nested])
        assert report.result is not None
        assert {verdict: found.rows for verdict, found in report.result.verdicts.items() if verdict != "rejected"} == {}
        assert report.result.rows >= 3

    def test_a_document_without_it_is_rejected(self, settings: Settings, nested: Stream, rejected: Any) -> None:
        process_once(settings, [nested])
        (row,) = rejected(nested)
        assert "its cursor meta.updatedAt is missing" in row["reason"]

    @pytest.mark.parametrize(
        ("document", "value"),
        [({"a": {"b": 1}}, 1), ({"a": {}}, None), ({"a": 5}, None), ({"a": [{"b": 1}]}, None), ({}, None)],
    )
    def test_the_value_at_a_path(self, document: dict[str, Any], value: Any) -> None:
        assert value_at(document, "a.b") == value
