"""Cursors of MongoDB: text in any form and offset, both ends of the calendar, and where a window ends."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pymongo
import pytest
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from adventure.core.clock import earlier, later
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox.mongo import MongoServer
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.monitoring.checks.flow import count_rows
from adventure.processor.run import process_once
from adventure.reconcile.run import reconcile
from adventure.sources.mongo import change_stream
from adventure.sources.mongo.change_stream import ChangeStream
from adventure.sources.mongo.cursors import cursor_moment, cursor_ranges
from adventure.sources.mongo.rows import SourceDocuments
from tests.processor.conftest import on_standalone, stream_of

MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29))


def texts(moment: datetime, minutes: int) -> list[str]:
    """Return a moment in each form of ISO-8601, as local time at an offset."""
    local = moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=minutes)))
    year, week, day = local.isocalendar()
    time = local.isoformat().partition("T")[2]
    return [
        local.isoformat(),
        local.isoformat(" "),
        f"{local.year:04}{local.month:02}{local.day:02}T{time}",
        f"{year:04}-W{week:02}-{day}T{time}",
        f"{year:04}W{week:02}{day}T{time}",
    ]


def holds(bounds: dict[str, Any], value: Any) -> bool:
    """Return whether MongoDB finds the value in the range; it compares only values of one type."""
    low = bounds["$gte"]
    if type(low) is not type(value) or value < low or ("$lt" in bounds and value >= bounds["$lt"]):
        return False
    return "$regex" not in bounds or bool(re.search(bounds["$regex"], value))


@given(MOMENTS, MOMENTS, MOMENTS, st.integers(-14 * 60, 14 * 60), st.booleans())
def test_each_moment_of_a_range_is_in_one_of_its_ranges(
    one: datetime, two: datetime, three: datetime, offset: int, is_open: bool
) -> None:
    low, moment, high = sorted((one, two, three))
    ranges = list(cursor_ranges(low, None if is_open else later(high, timedelta(microseconds=1))))
    for value in (moment, *texts(moment, offset)):
        found = [bounds for bounds in ranges if holds(bounds, value)]
        assert len(found) == 1, value
        assert cursor_moment("at", value) == moment


@pytest.mark.parametrize(
    ("moment", "by", "before", "after"),
    [
        (datetime.min, timedelta(seconds=60), datetime.min, datetime(1, 1, 1, 0, 1)),
        (datetime.max, timedelta(days=1), datetime.max - timedelta(days=1), datetime.max),
        (datetime(2026, 1, 1), timedelta(days=1), datetime(2025, 12, 31), datetime(2026, 1, 2)),
        (datetime(2026, 1, 1), timedelta.max, datetime.min, datetime.max),
    ],
)
def test_arithmetic_stops_at_the_ends_of_the_calendar(
    moment: datetime, by: timedelta, before: datetime, after: datetime
) -> None:
    assert (earlier(moment, by), later(moment, by)) == (before, after)


def test_text_of_another_offset_is_found_in_later_windows(
    settings: Settings, standalone: MongoServer, chat_stream: Stream, staged: Any
) -> None:

    source = on_standalone(settings, standalone)
    stream = replace(chat_stream, namespace=source.mongo_db)
    collection = pymongo.MongoClient[dict[str, Any]](source.mongo_conninfo)[stream.namespace][stream.table]
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    collection.insert_one({"_id": "first", "last_modified": texts(now - timedelta(seconds=30), -420)[0]})
    process_once(source, [stream])
    forms = {f"later{number}": text for number, text in enumerate(texts(now - timedelta(seconds=20), -420))}
    forms |= {f"east{number}": text for number, text in enumerate(texts(now - timedelta(seconds=20), 330))}
    collection.insert_many([{"_id": name, "last_modified": text} for name, text in forms.items()])
    process_once(source, [stream])
    assert {row["_id"] for row in staged(stream)} == {"first", *forms}

    warehouse = DuckDBWarehouse(source)
    warehouse.load(stream)
    counts = count_rows(source, warehouse, replace(stream, name="others"))
    assert (counts.source, counts.raw) == (len(forms) + 1, len(forms) + 1)
    (report,) = reconcile(source, [stream], rows=True)
    assert report.result is not None
    assert set(report.result.verdicts) <= {"in flight"}


def test_the_zero_time_of_other_languages_raises_no_error(
    settings: Settings, standalone: MongoServer, chat_stream: Stream, staged: Any
) -> None:

    source = on_standalone(settings, standalone)
    stream = replace(chat_stream, namespace=source.mongo_db)
    collection = pymongo.MongoClient[dict[str, Any]](source.mongo_conninfo)[stream.namespace][stream.table]
    collection.insert_many(
        [{"_id": "zero", "last_modified": datetime(1, 1, 1)}, {"_id": "text", "last_modified": "0001-01-01T00:00:00Z"}]
    )
    process_once(source, [stream])
    collection.delete_many({})
    collection.insert_one(
        {"_id": "new", "last_modified": datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=9)}
    )
    process_once(source, [stream])
    assert {row["_id"] for row in staged(stream)} == {"zero", "text", "new"}
    warehouse = DuckDBWarehouse(source)
    warehouse.load(stream)
    (report,) = reconcile(source, [stream])
    assert report.result is not None
    assert report.result.count("deleted") == 2


def test_the_first_unread_cursor_is_the_lowest_of_dates_and_text(chats: Any) -> None:
    day = datetime(2026, 3, 4)
    values = [day, day + timedelta(hours=5), "20260304T0100Z", "2026-03-05T01:00:00+14:00", [day - timedelta(hours=1)]]
    chats.insert_many([{"at": value} for value in [*values, "no date", None]])
    first = SourceDocuments(chats, stream_of("chats", source="mongo", cursor="at", key=("_id",))).first
    assert first(day - timedelta(days=9)) == day
    assert first(day + timedelta(minutes=1)) == datetime(2026, 3, 4, 1)
    assert first(day + timedelta(hours=2)) == day + timedelta(hours=5)
    assert first(day + timedelta(hours=6)) == day + timedelta(hours=11)
    assert first(day + timedelta(days=2)) is None


class SilentThenNot:
    """A change stream of a sharded cluster: one shard lags, so its first answers are empty."""

    def __init__(self, events: list[dict[str, Any] | None], times: list[int]) -> None:
        self._events, self._times = events, times
        self.resume_token = self._token(0)

    @staticmethod
    def _token(seconds: int) -> dict[str, str]:
        return {"_data": f"82{seconds:08X}{1:08X}2B0229296E04"}

    def try_next(self) -> dict[str, Any] | None:
        self.resume_token = self._token(self._times.pop(0))
        return self._events.pop(0)


@pytest.mark.parametrize(
    ("events", "times", "until", "found"),
    [
        ([None, None, 7, None], [5, 6, 7, 9], 9, [7]),
        ([None, 7, None, 8, 9], [5, 7, 7, 8, 9], 9, [7, 8, 9]),
        ([None], [9], 9, []),
        ([None], [10], 9, []),
    ],
)
def test_a_window_ends_at_a_cluster_time_not_at_the_first_empty_answer(
    events: list[int | None], times: list[int], until: int, found: list[int]
) -> None:
    changes = stream_of_changes(events, times).changes(Timestamp(until, 1), 100)
    assert [change.key["_id"] for change in changes] == found


def test_a_shard_that_stays_behind_ends_the_window_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(change_stream, "SETTLE_SECONDS", 0.0)
    late = stream_of_changes([None] * 9 + [7], [5] * 9 + [7])
    assert list(late.changes(Timestamp(9, 1), 100)) == []
    assert "has only reached 1970-01-01 00:00:05 UTC, because a shard lags behind" in capsys.readouterr().out
    caught_up = stream_of_changes([7, None], [7, 9])
    assert [change.key["_id"] for change in caught_up.changes(Timestamp(9, 1), 100)] == [7]


def stream_of_changes(events: list[int | None], times: list[int]) -> ChangeStream:
    """Return a change stream whose server gives these events (None: nothing) and is at these times after each."""
    made_by_hand = ChangeStream.__new__(ChangeStream)
    made_by_hand.more = made_by_hand.ended = made_by_hand._lean = False
    made_by_hand._prefetched, made_by_hand._name = None, "sales.chats"
    made = [
        {
            "operationType": "insert",
            "documentKey": {"_id": event},
            "fullDocument": {"_id": event},
            "clusterTime": Timestamp(event, 1),
            "wallTime": datetime(2026, 1, 1),
        }
        if event
        else None
        for event in events
    ]
    made_by_hand._stream = SilentThenNot(made, times)  # type: ignore[assignment]
    return made_by_hand
