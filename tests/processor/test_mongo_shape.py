"""Test columns, exclude, where, hash and start of a stream on a MongoDB collection."""

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import bson
import pymongo
import pytest
from pydantic import SecretStr

from adventure.core.errors import SourceShapeError
from adventure.core.hashes import hash_of
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.factory import open_probe
from adventure.processor.run import process_once
from adventure.processor.state import read_watermarks
from tests.processor.conftest import Rows, on_standalone
from tests.processor.test_shape import KEY, check_warehouse

DOCUMENTS = [
    {"_id": n, "last_modified": datetime(2020 + n, 1, 1), "n": n, "who": {"name": f"N{n}", "mail": f"{n}@x"}}
    for n in range(4)
]


@pytest.mark.parametrize("server", ["replica set", "standalone"])
@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"columns": ("_id", "last_modified", "who.name")}, [{"who": {"name": f"N{n}"}} for n in range(4)]),
        ({"exclude": ("who", "n")}, [{}] * 4),
        ({"exclude": ("who.mail", "n")}, [{"who": {"name": f"N{n}"}} for n in range(4)]),
        (
            {"where": '{"n": {"$gte": 2}}', "exclude": ("who",)},
            [{"n": 2}, {"n": 3}],
        ),
        ({"start": datetime(2022, 1, 1), "exclude": ("who",)}, [{"n": 2}, {"n": 3}]),
        (
            {"columns": ("_id", "last_modified", "n", "who.mail"), "hash": ("n", "who.mail")},
            [{"n": hash_of(str(n), KEY.encode()), "who": {"mail": hash_of(f"{n}@x", KEY.encode())}} for n in range(4)],
        ),
    ],
)
def test_only_the_chosen_fields_and_documents_are_read(
    settings: Settings,
    chat_stream: Stream,
    staged: Callable[[Stream], Rows],
    request: pytest.FixtureRequest,
    server: str,
    shape: dict[str, Any],
    expected: list[dict[str, Any]],
) -> None:
    if server == "standalone":
        settings = on_standalone(settings, request.getfixturevalue("standalone"))
    stream = replace(chat_stream, hash_key=SecretStr(KEY), **shape)
    with pymongo.MongoClient[dict[str, Any]](settings.mongo_conninfo) as client:
        client[stream.namespace][stream.table].insert_many(DOCUMENTS)
    process_once(settings, (stream,))
    rows = staged(stream)
    own = ("_id", "last_modified", "_adventure_key")
    assert [{name: value for name, value in row.items() if name not in own} for row in rows] == expected
    with open_probe("mongo", settings) as probe:
        assert probe.counts(stream, read_watermarks(settings)[stream.name]).rows == len(expected)
    check_warehouse(settings, stream, rows=len(expected))


def test_a_document_that_no_longer_matches_is_deleted(
    settings: Settings,
    chat_stream: Stream,
    chats: Any,
    staged: Callable[[Stream], Rows],
    deleted: Callable[[Stream], Rows],
) -> None:
    stream = replace(chat_stream, where='{"n": {"$gte": 2}}')
    chats.insert_many(DOCUMENTS)
    process_once(settings, (stream,))
    chats.update_one({"_id": 2}, {"$set": {"n": 0, "last_modified": datetime(2026, 1, 1)}})
    chats.update_one({"_id": 3}, {"$set": {"n": 9, "last_modified": datetime(2026, 1, 1)}})
    process_once(settings, (stream,))
    assert [row["n"] for row in staged(stream)] == [2, 3, 9]
    assert [row["key"] for row in deleted(stream)] == [{"_id": "2"}]


def test_a_rejected_document_holds_no_hidden_value(
    settings: Settings, chat_stream: Stream, chats: Any, rejected: Callable[[Stream], Rows]
) -> None:
    stream = replace(chat_stream, exclude=("who.mail",), hash=("n",), hash_key=SecretStr(KEY))
    chats.insert_one(DOCUMENTS[1] | {"last_modified": None, "who": [{"mail": "secret", "name": "N"}]})
    process_once(settings, (stream,))
    (row,) = rejected(stream)
    document = bson.decode(base64.b64decode(row["row"]))
    assert (document["who"], document["n"]) == ([{"name": "N"}], hash_of("1", KEY.encode()))


@pytest.mark.parametrize("where", ["n > 1", "[1]", '{"n": {"$gte": 1}', '{"n": {"$larger": 1}}'])
def test_a_wrong_condition_refuses_the_stream(settings: Settings, chat_stream: Stream, chats: Any, where: str) -> None:
    chats.insert_many(DOCUMENTS)
    with pytest.raises(SourceShapeError, match="its where is no query on"):
        process_once(settings, (replace(chat_stream, where=where),))
