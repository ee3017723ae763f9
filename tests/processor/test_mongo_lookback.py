"""The lookback, for documents of a server without change streams, and its guarantees."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline, process_once
from adventure.processor.state import read_watermarks
from tests.processor.conftest import Rows, names, on_standalone

Staged = Callable[[Stream], Rows]

NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)


@pytest.fixture(params=["standalone", "nx"])
def settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    return on_standalone(settings, request.getfixturevalue(request.param))


def test_the_lookback_finds_late_documents_and_stages_nothing_twice(
    settings: Settings, chats: Any, chat_stream: Stream, staged: Staged
) -> None:
    chats.insert_many([{"n": "a", "last_modified": NOW}, {"n": "b", "last_modified": NOW - timedelta(seconds=20)}])
    with open_pipeline(settings, [chat_stream]) as pipeline:
        run_cycle(pipeline)
        chats.insert_one({"n": "late", "last_modified": NOW - timedelta(seconds=40)})
        chats.update_one({"n": "b"}, {"$set": {"n": "changed, its cursor was forgotten"}})
        run_cycle(pipeline)
        assert run_cycle(pipeline).streams[0].window is None
    assert names(staged(chat_stream)) == ["a", "b", "changed, its cursor was forgotten", "late"]
    assert read_watermarks(settings)["chat_logs"].mode == "lookback: not a replica set"


def test_a_document_of_the_future_waits(settings: Settings, chats: Any, chat_stream: Stream, staged: Staged) -> None:
    soon = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=5)
    chats.insert_many([{"n": "a", "last_modified": NOW}, {"n": "soon", "last_modified": soon}])
    process_once(settings, [chat_stream])
    assert names(staged(chat_stream)) == ["a"]
    time.sleep(max(0.0, (soon - datetime.now(UTC).replace(tzinfo=None)).total_seconds() + 1.1))
    process_once(settings, [chat_stream])
    assert "soon" in names(staged(chat_stream))


def test_text_that_both_of_its_ranges_hold_is_staged_once(
    settings: Settings, chats: Any, chat_stream: Stream, staged: Staged
) -> None:
    chats.insert_one({"n": "a", "last_modified": NOW - timedelta(days=2)})
    with open_pipeline(settings, [chat_stream]) as pipeline:
        run_cycle(pipeline)
        # A space sorts before a T, so around midnight the range of one form holds days of the other.
        chats.insert_one({"n": "text", "last_modified": (NOW - timedelta(days=1)).isoformat(" ")})
        run_cycle(pipeline)
    assert names(staged(chat_stream)) == ["a", "text"]
