"""`reconcile` treats rejected documents, odd cursors and odd keys as the processor does."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from adventure.core.manifest import KEY_TEXTS
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.processor.run import process_once
from adventure.reconcile.run import Report, reconcile

AT = datetime(2026, 1, 2, 3, 4, 5)
LATER = {"_id": "later", "last_modified": AT + timedelta(days=9), "meta": {"at": AT + timedelta(days=9)}}


def move(settings: Settings, stream: Stream) -> None:
    process_once(settings, [stream])
    DuckDBWarehouse(settings).load(stream)


def verdicts(settings: Settings, stream: Stream, **options: Any) -> dict[str, int]:
    report: Report
    (report,) = reconcile(settings, [stream], **options)
    assert report.result is not None
    return {verdict: found.rows for verdict, found in report.result.verdicts.items()}


@pytest.mark.parametrize(
    ("cursor", "document"),
    [
        ("last_modified", {"last_modified": [AT]}),
        ("last_modified", {"last_modified": ["2026-01-01"]}),
        ("last_modified", {"last_modified": 5}),
        ("meta.at", {"meta": [{"at": AT}]}),
        ("meta.at", {"meta": {"at": [AT]}}),
        ("meta.at", {"meta": None}),
    ],
    ids=str,
)
def test_a_document_with_a_rejected_cursor_is_reported(
    settings: Settings,
    chats: Any,
    chat_stream: Stream,
    cursor: str,
    document: Any,
) -> None:
    stream = replace(chat_stream, cursor=cursor)
    chats.insert_many([document, LATER])
    move(settings, stream)
    assert verdicts(settings, stream) == {"rejected": 1}


@pytest.mark.parametrize("key", ["5", AT, ObjectId("6b0a01aa7039a1ae564a1669"), {"a": 1}, 1e16], ids=str)
def test_a_rejected_document_is_not_reported_as_missing(
    settings: Settings,
    chats: Any,
    chat_stream: Stream,
    key: Any,
) -> None:
    chats.insert_many([{"_id": key, "last_modified": "2026-01-99"}, LATER])
    move(settings, chat_stream)
    chats.update_one({"_id": key}, {"$set": {"last_modified": AT}})
    assert verdicts(settings, chat_stream) == {"rejected": 1}


def test_text_in_every_form_is_one_moment_on_both_sides(
    settings: Settings,
    chats: Any,
    chat_stream: Stream,
) -> None:
    texts = ["2026-01-02T03:04:05+14:00", "2026-01-02T03:04:05,5Z", "2026-01-02T03", "2026-01-02", "20260102"]
    texts += ["20260102T030405Z", "20260102T030405-1200", "2026-W01-5", "2026W015T01", "2026-01-02x03:04:05.123456789"]
    chats.insert_many([{"last_modified": text} for text in texts] + [LATER])
    move(settings, chat_stream)
    assert verdicts(settings, chat_stream) == {}
    assert DuckDBWarehouse(settings).live_key_count(chat_stream) == len(texts) + 1


def test_keys_as_an_earlier_version_wrote_them_are_replaced(
    settings: Settings,
    chats: Any,
    chat_stream: Stream,
) -> None:
    keys = ["5", 7, AT, 5.5, {"a": 1}, {"a": AT, "n": 1}, ObjectId(), "plain", str(ObjectId()), True, "true"]
    chats.insert_many([{"_id": key, "last_modified": AT} for key in keys] + [LATER])
    move(settings, chat_stream)
    warehouse = DuckDBWarehouse(settings)
    warehouse.execute(f"update raw_ext.chat_logs_raw set raw = json_merge_patch(raw, '{{\"{KEY_TEXTS}\": null}}')")
    assert set(verdicts(settings, chat_stream, repair=True, force=True)) == {"missing", "deleted"}
    warehouse.load(chat_stream)
    assert verdicts(settings, chat_stream) == {}
    assert warehouse.live_key_count(chat_stream) == len(keys) + 1
