"""Documents are read by the change stream of a replica set, and by lookback from a standalone server."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline, process_once
from adventure.processor.state import read_watermarks
from tests.processor.conftest import Rows, names, on_standalone

Staged = Callable[[Stream], Rows]

NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)


@pytest.fixture(params=["change stream", "standalone", "nx"])
def settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """Run every test here with a change stream, and by lookback on two servers of different people."""
    if request.param == "change stream":
        return settings
    return on_standalone(settings, request.getfixturevalue(request.param))


def test_the_second_window_holds_only_new_documents(
    settings: Settings, chats: Any, chat_stream: Stream, staged: Staged
) -> None:
    chats.insert_one({"n": "a", "last_modified": NOW - timedelta(hours=1)})
    with open_pipeline(settings, [chat_stream]) as pipeline:
        run_cycle(pipeline)
        chats.insert_one({"n": "b", "last_modified": NOW - timedelta(minutes=5)})
        run_cycle(pipeline)
        assert run_cycle(pipeline).streams[0].window is None
    assert names(staged(chat_stream)) == ["a", "b"]
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
    ids=["T", "space", "Z", "space and offset", "microseconds"],
)
@pytest.mark.parametrize("first_window", [True, False])
def test_a_cursor_of_text_is_read_like_a_date(
    settings: Settings, chats: Any, chat_stream: Stream, staged: Staged, text: str, first_window: bool
) -> None:
    if not first_window:
        chats.insert_one({"n": "a", "last_modified": NOW - timedelta(minutes=1)})
        process_once(settings, [chat_stream])
    chats.insert_one({"n": "text", "last_modified": text})
    process_once(settings, [chat_stream])
    assert names(staged(chat_stream)).count("text") == 1
    assert {row["last_modified"] for row in staged(chat_stream) if row["n"] == "text"} == {text}


def test_a_document_that_cannot_be_converted_is_rejected_whole(
    settings: Settings, chats: Any, chat_stream: Stream, staged: Staged, rejected: Staged
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
    (report,) = process_once(settings, [chat_stream]).streams
    assert names(staged(chat_stream)) == ["fine"]
    reasons = {row["key"]: row["reason"] for row in rejected(chat_stream)}
    assert set(reasons) == {"3", "4", "5", "6"}
    assert "no ISO-8601 date: '2001-99-01'" in reasons["3"]
    assert {reasons[key] for key in "456"} == {"its cursor last_modified is missing, or neither a date nor text"}
    kept = [bson.decode(base64.b64decode(row["row"]))["_id"] for row in rejected(chat_stream)]
    assert sorted(kept) == [3, 4, 5, 6]
    assert (report.rows_staged, report.rows_rejected) == (1, 4)


def test_a_collection_that_does_not_exist_yet_is_no_error(
    settings: Settings, chats: Any, chat_stream: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    chats.drop()
    assert process_once(settings, [chat_stream]).streams[0].window is None
    assert "there is no collection" in capsys.readouterr().out


def test_a_cursor_without_an_index_is_logged(
    settings: Settings, chats: Any, chat_stream: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    chats.drop_index("last_modified_1")
    process_once(settings, [chat_stream])
    assert "has no index on last_modified" in capsys.readouterr().out
