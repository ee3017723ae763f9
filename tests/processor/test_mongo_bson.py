"""Documents of every BSON type reach the raw table as JSON without loss, or are rejected whole."""

import base64
import gzip
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import bson
import duckdb
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, json_util
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from hypothesis import Phase, example, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.factory import open_warehouse
from adventure.processor.run import process_once
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.mongo import documents
from adventure.sources.mongo.bson_json import decode, to_json
from adventure.sources.mongo.bson_walk import CannotConvert

NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
ID = ObjectId("65f000000000000000000001")


def converted(document: bytes) -> Any:
    """Return the JSON that the document becomes, parsed."""
    return json.loads(to_json(decode(document), document))


VALUES: list[tuple[str, Any, Any]] = [
    ("objectid", ID, str(ID)),
    ("int", 7, 7),
    ("int64", Int64(2**62 + 1), 2**62 + 1),
    ("int64 that is small", Int64(7), 7),
    ("double", 0.1, 0.1),
    ("negative zero", -0.0, -0.0),
    ("smallest double", 5e-324, 5e-324),
    ("nan", float("nan"), {"$numberDouble": "NaN"}),
    ("infinity", float("-inf"), {"$numberDouble": "-Infinity"}),
    ("decimal", Decimal128("1234567890.1234567890123456789"), "1234567890.1234567890123456789"),
    ("decimal with its zeros", Decimal128("1.000"), "1.000"),
    ("decimal of 34 digits", Decimal128("9.999999999999999999999999999999999E+6144"), f"9.{'9' * 33}E+6144"),
    ("decimal nan", Decimal128("NaN"), "NaN"),
    ("date", datetime(2026, 1, 2, 3, 4, 5, 678000), "2026-01-02T03:04:05.678000Z"),
    ("first date", datetime(1, 1, 1), "0001-01-01T00:00:00Z"),
    ("last date", datetime(9999, 12, 31, 23, 59, 59, 999000), "9999-12-31T23:59:59.999000Z"),
    ("bool", True, True),
    ("null", None, None),
    ("text", "naïve \u2028 🚲\n\x00", "naïve \u2028 🚲\n\x00"),
    ("array", [1, [2, {"a": None}]], [1, [2, {"a": None}]]),
    ("binary", Binary(b"\x00\xff"), {"$binary": {"base64": "AP8=", "subType": "00"}}),
    *(
        (f"binary {kind:02x}", Binary(b"0123", kind), {"$binary": {"base64": "MDEyMw==", "subType": f"{kind:02x}"}})
        for kind in (1, 2, 5, 6, 7, 8, 128, 255)
    ),
    ("uuid", Binary.from_uuid(UUID(int=1)), {"$binary": {"base64": "AAAAAAAAAAAAAAAAAAAAAQ==", "subType": "04"}}),
    ("regex", Regex("^a", "i"), {"$regularExpression": {"pattern": "^a", "options": "i"}}),
    ("code", Code("f()"), {"$code": "f()"}),
    ("scope", Code("f()", {"x": float("nan")}), {"$code": "f()", "$scope": {"x": {"$numberDouble": "NaN"}}}),
    ("dbref", DBRef("c", ID, "d"), {"$ref": "c", "$id": {"$oid": str(ID)}, "$db": "d"}),
    ("minkey", MinKey(), {"$minKey": 1}),
    ("maxkey", MaxKey(), {"$maxKey": 1}),
    ("timestamp", Timestamp(5, 6), {"$timestamp": {"t": 5, "i": 6}}),
    ("empty", {}, {}),
    *((f"key {key!r}", {key: 1}, {key: 1}) for key in ("", "a.b", "a$b", "$a", " ", "é", "_id")),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), [case[1:] for case in VALUES], ids=[case[0] for case in VALUES])
def test_every_type_has_its_json(value: Any, expected: Any) -> None:
    found = converted(bson.encode({"v": value}))["v"]
    assert (found, repr(found)) == (expected, repr(expected)), "0.0 equals -0.0"


def element(kind: int, name: str, value: bytes) -> bytes:
    return bytes([kind]) + name.encode() + b"\0" + value


def document_of(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


def text(value: bytes) -> bytes:
    return (len(value) + 1).to_bytes(4, "little") + value + b"\0"


ONE, TWO = element(0x10, "a", b"\1\0\0\0"), element(0x10, "a", b"\2\0\0\0")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (element(0x0E, "v", text(b"sym")), {"$symbol": "sym"}),
        (element(0x06, "v", b""), {"$undefined": True}),
        (element(0x0C, "v", text(b"c") + ID.binary), {"$dbPointer": {"$ref": "c", "$id": {"$oid": str(ID)}}}),
        (element(0x0B, "v", b"^a\0xi\0"), {"$regularExpression": {"pattern": "^a", "options": "ix"}}),
        (element(0x04, "v", document_of(element(0x06, "7", b""), element(10, "7", b""))), [{"$undefined": True}, None]),
        (element(0x03, "v", document_of(element(0x06, "b", b""), ONE)), {"b": {"$undefined": True}, "a": 1}),
    ],
)  # fmt: skip
def test_values_that_the_driver_would_lose_are_kept(document: bytes, expected: Any) -> None:
    others = [element(0x12, "big", b"\1" * 8), element(0x02, "text", text(b"x")), element(0x05, "b", b"\1\0\0\0\x80x")]
    found = converted(document_of(*others, document))
    assert found["v"] == expected
    assert found["big"] == 0x0101010101010101


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (bson.encode({"when": DatetimeMS(2**55)}), "a date outside of the years 1 to 9999"),
        (bson.encode({"when": DatetimeMS(-(2**55))}), "a date outside of the years 1 to 9999"),
        (bson.encode({"text": "abc"}).replace(b"abc", b"a\xffc"), "it cannot be decoded"),
        (bson.encode({"abc": 1}).replace(b"abc", b"a\xffc"), "it cannot be decoded"),
        (bson.encode({"text": "abc"}).replace(b"abc", b"\xed\xa0\x80"), "it cannot be decoded"),
        (bson.encode({"text": "abc"})[:-3], "it cannot be decoded"),
        (document_of(element(0x55, "v", b"")), "it cannot be decoded"),
        (document_of(element(0x08, "v", b"\2")), "it cannot be decoded"),
        (document_of(ONE, TWO), "it holds the key 'a' twice"),
        (document_of(element(0x03, "v", document_of(ONE, ONE))), "it holds the key 'a' twice"),
        (document_of(element(0x04, "v", document_of(element(0x03, "0", document_of(ONE, TWO))))), "the key 'a' twice"),
    ],
)
def test_documents_without_a_json_form_are_rejected_with_a_reason(document: bytes, reason: str) -> None:
    with pytest.raises(CannotConvert, match=reason):
        to_json(decode(document), document)


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
# A document that looks like extended JSON cannot be distinguished from it afterwards.
_keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8).filter(
    lambda key: not key.startswith("$")
)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**31), 2**31).map(Int64),
    st.floats(),
    _text,
    st.binary(max_size=20),
    st.builds(Binary, st.binary(max_size=20), st.sampled_from([1, 2, 5, 6, 7, 8, 128, 255])),
    st.uuids().map(Binary.from_uuid),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.decimals(places=6, min_value=-(10**27), max_value=10**27).map(Decimal128),
    st.binary(min_size=16, max_size=16).map(Decimal128.from_bid),
    st.datetimes().map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)),
    st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.builds(Regex, _keys, st.integers(0, 63).map(lambda flags: 2 * flags)),
    st.builds(Code, _text),
    st.builds(Code, _text, st.dictionaries(_keys, st.integers(0, 9), max_size=2)),
    st.sampled_from([MinKey(), MaxKey()]),
)  # fmt: skip
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4), max_leaves=20
)
_documents = st.dictionaries(_keys.filter(lambda key: key not in ("_id", "last_modified")), _values, max_size=6)


def as_read(value: Any) -> Any:
    """Return the value as its JSON shows it: values that become text are text."""
    if isinstance(value, dict):
        return {key: as_read(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_read(each) for each in value]
    if isinstance(value, ObjectId | Decimal128):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    if isinstance(value, float) and math.isnan(value):
        # JSON has one NaN, BSON has as many as fit into 52 bits.
        return math.nan
    return int(value) if isinstance(value, Int64) else value


def same(line: str | bytes, document: dict[str, Any]) -> None:
    """Return a value that compares as BSON does: order of the keys, types, and the bits of a double."""
    found = json.loads(line, object_hook=json_util.object_hook)
    assert bson.encode({"": found}) == bson.encode({"": as_read(document)})


@given(_documents)
@example({"deep": json.loads('{"n":' * 98 + "1" + "}" * 98)})
def test_a_document_equals_its_json(document: dict[str, Any]) -> None:
    raw = bson.encode(document)
    same(to_json(decode(raw), raw), document)


# Do not shrink examples: each attempt would cost a window and a load.
@profile(max_examples=10, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(_documents, min_size=5, max_size=15))
def test_documents_are_the_same_in_the_raw_table(
    settings: Settings, chats: Any, chat_stream: Stream, documents: list[dict[str, Any]]
) -> None:
    made = [{"_id": ObjectId(), "last_modified": NOW} | document for document in documents]
    chats.insert_many(made)
    process_once(settings, [chat_stream])
    warehouse = open_warehouse(settings)
    warehouse.load(chat_stream)
    with duckdb.connect(str(settings.duckdb_path), read_only=True) as connection:
        raw = dict(connection.execute("select raw ->> '_id', raw::varchar from raw_ext.chat_logs_raw").fetchall())
    for document in made:
        same(raw[str(document["_id"])], document)


def test_large_and_deep_documents_reach_the_raw_table(settings: Settings, chats: Any, chat_stream: Stream) -> None:
    deep: Any = "bottom"
    for _ in range(95):
        deep = {"n": deep}
    length = 16 * 1024 * 1024 - len(bson.encode({"_id": 1, "last_modified": NOW, "text": ""}))
    made = [{"_id": 1, "last_modified": NOW, "text": "x" * length}, {"_id": 2, "last_modified": NOW, "deep": deep}]
    process_once(settings, [chat_stream])
    chats.insert_many(made)
    process_once(settings, [chat_stream])
    open_warehouse(settings).load(chat_stream)
    with duckdb.connect(str(settings.duckdb_path), read_only=True) as connection:
        raw = dict(connection.execute("select raw ->> '_id', raw::varchar from raw_ext.chat_logs_raw").fetchall())
    for document in made:
        same(raw[str(document["_id"])], document)


def test_broken_documents_are_rejected_whole_and_others_are_staged(chat_stream: Stream, tmp_path: Path) -> None:
    """A real server may hold such documents; the embedded one refuses them."""
    number, stamp = element(0x10, "_id", b"\3\0\0\0"), element(0x09, "last_modified", b"\0" * 8)
    broken = [
        document_of(number, stamp, ONE, TWO),
        document_of(number, stamp, element(0x02, "text", text(b"a\xffc"))),
        bson.encode({"_id": 3, "last_modified": NOW, "when": DatetimeMS(2**55)}),
        bson.encode({"_id": 3, "last_modified": DatetimeMS(2**55)}),
        bson.encode({"_id": 3, "last_modified": "0001-01-01T00:00:00+14:00"}),
        bson.encode({"_id": 3, "last_modified": Timestamp(5, 6)}),
    ]
    writer = documents.DocumentWriter(chat_stream, NOW, Deduplicator(), tmp_path)
    for document in (
        bson.encode({"_id": 1, "last_modified": NOW}),
        *broken,
        bson.encode({"_id": 2, "last_modified": NOW}),
    ):
        writer.write(RawBSONDocument(document))
    (file,) = writer.documents.close()
    assert file.rows == 2
    rejects = writer.rejects.close()
    assert rejects
    rows = [json.loads(line) for line in gzip.decompress(rejects.path.read_bytes()).splitlines()]
    assert [base64.b64decode(row["row"]) for row in rows] == broken
    assert {row["key"] for row in rows} == {"3"}
