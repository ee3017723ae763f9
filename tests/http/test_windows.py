"""Windows of an HTTP API hold every record once, in its latest version, whatever the API's way of paging."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from starlette.requests import Request

from adventure.core.clock import utc_now
from adventure.core.errors import SourceUnavailable
from tests.http.api import Api, answer
from tests.http.conftest import LOOKBACK, REVIEWS, Reader, styled

HOUR_AGO = utc_now() - timedelta(hours=1)


@pytest.mark.parametrize(
    ("style", "inclusive", "whole_seconds"),
    [
        *((style, True, False) for style in ("none", "link", "next", "token", "number", "offset")),
        ("next", False, False),
        ("next", False, True),
    ],
)
def test_every_record_is_staged_once(
    api: Api, reader: Reader, style: str, inclusive: bool, whole_seconds: bool
) -> None:
    api.style, api.inclusive, api.whole_seconds = style, inclusive, whole_seconds
    stream = styled(style)
    api.put_many(10, HOUR_AGO)
    reader.cycle(stream)
    assert reader.held() == api.records
    api.put("r002", HOUR_AGO + timedelta(seconds=9.25), stars=1)
    api.put("at the watermark", HOUR_AGO + timedelta(seconds=9), stars=3)
    api.put_many(5, HOUR_AGO + timedelta(minutes=20), first=10)
    reader.cycle(stream)
    assert reader.held() == api.records
    assert len(api.records) == 16


def test_a_row_of_the_lookback_is_not_staged_again(api: Api, reader: Reader) -> None:
    api.put_many(7, HOUR_AGO)
    assert reader.cycle().rows_staged == 7
    api.put("late", HOUR_AGO - LOOKBACK + timedelta(seconds=10))
    assert reader.cycle().rows_staged == 1
    assert reader.cycle().window is None


def test_pages_may_change_their_size(api: Api, reader: Reader) -> None:
    def shrink(_: Request) -> None:
        api.page_size = 2

    api.put_many(11, HOUR_AGO)
    api.style, api.page_size, api.faults = "token", 4, [None, shrink]
    reader.cycle(styled("token"))
    assert reader.held() == api.records


@pytest.mark.parametrize("style", ["number", "offset"])
@pytest.mark.parametrize("moves", ["changed", "deleted"])
def test_a_record_that_moves_between_counted_pages_is_read(api: Api, reader: Reader, style: str, moves: str) -> None:
    """The fourth record moves to the first page after that was read, and is on none of the pages that are read next."""

    def move(_: Request) -> None:
        if moves == "changed":
            api.put("r000", utc_now() + timedelta(seconds=30), stars=5)
        else:
            del api.records["r000"]

    api.style, api.faults = style, [None, move]
    api.put_many(9, HOUR_AGO)
    reader.cycle(styled(style))
    assert {f"r{number:03d}" for number in range(1, 9)} <= reader.held().keys()
    assert len(reader.lines()) == 9


@pytest.mark.parametrize("style", ["number", "offset"])
def test_a_counted_page_that_comes_twice_costs_no_record(api: Api, reader: Reader, style: str) -> None:
    """As many records as a page holds are inserted before it, and the next page holds the same records again."""

    def insert(_: Request) -> None:
        api.put_many(3, HOUR_AGO - timedelta(minutes=2), first=100)

    api.style, api.faults = style, [None, insert]
    api.put_many(8, HOUR_AGO)
    reader.cycle(styled(style))
    assert reader.held() == api.records
    assert len(reader.lines()) == 11


def test_records_that_move_in_every_pass_are_an_error(api: Api, reader: Reader) -> None:
    def grow(_: Request) -> None:
        api.put_many(1, HOUR_AGO, first=len(api.records))

    api.style, api.always = "number", grow
    api.put_many(9, HOUR_AGO)
    with pytest.raises(SourceUnavailable, match="records moved between the pages"):
        reader.cycle(styled("number"))


def test_a_record_on_two_pages_is_staged_once(api: Api, reader: Reader) -> None:
    api.put_many(2, HOUR_AGO)
    first, second = api.records.values()
    page = b'{"data": {"items": [%s]}, "paging": {"next": %s}}'
    one, two = (repr(each).replace("'", '"').encode() for each in (first, second))
    api.faults = [answer(page % (one + b"," + two, b'"?after=1"')), answer(page % (two, b"null"))]
    reader.cycle()
    assert reader.held() == api.records
    assert len(reader.lines()) == 2


def test_times_are_those_of_the_apis_clock(api: Api, reader: Reader) -> None:
    """A record after the API's own time waits until that has come; this machine's clock plays no part."""
    api.clock_step = timedelta(hours=2)
    api.put("ahead of us", utc_now() + timedelta(hours=1))
    api.put("ahead of the API", utc_now() + timedelta(hours=3))
    assert reader.cycle().rows_staged == 1
    api.clock_step = timedelta(hours=4)
    assert reader.cycle().rows_staged == 1


def test_a_date_that_the_server_writes_once_a_second_holds_nothing_back(api: Api, reader: Reader) -> None:
    api.clock_step = timedelta(seconds=-1)
    api.put("new", utc_now())
    assert reader.cycle().rows_staged == 1


@pytest.mark.parametrize(("validator", "header"), [("etag", "if-none-match"), ("last-modified", "if-modified-since")])
def test_an_idle_cycle_is_one_conditional_request(api: Api, reader: Reader, validator: str, header: str) -> None:
    api.validator, api.page_size = validator, 100
    api.put_many(5, HOUR_AGO)
    reader.cycle()
    reader.cycle()
    api.requests.clear()
    assert reader.cycle().window is None
    (request,) = api.requests
    assert request.headers[header]
    api.put("new", utc_now())
    assert reader.cycle().rows_staged == 1


@pytest.mark.parametrize(
    ("form", "digits"), [("seconds", "1767323045"), ("seconds", "1767323045.25"), ("milliseconds", "1767323045250")]
)
def test_a_cursor_may_be_a_number(api: Api, reader: Reader, form: str, digits: str) -> None:
    api.always = answer(b'[{"id": 1, "at": %s}]' % digits.encode())
    stream = replace(styled("none", records="", since=None, time=form), cursor="at")
    report = reader.cycle(stream)
    fraction = timedelta(milliseconds=250 if "25" in digits[10:] else 0)
    assert report.window.high == datetime(2026, 1, 2, 3, 4, 5, 1) + fraction


EXACT = [
    b'{"id": "a", "meta": {"changed": "2026-01-02T03:04:05Z"}, "n": 1.10, "m": 123456789012345678901234567890}',
    b'{"id": "b", "meta": {"changed": "2026-01-02T03:04:05Z"}, "n": 1e400, "m": -0.0, "text": "\\ud83d\\ude00"}',
]


def test_numbers_keep_their_digits(api: Api, reader: Reader) -> None:
    api.always = answer(b'{"data": {"items": [%s]}}' % b", ".join(EXACT))
    reader.cycle()
    first, second = reader.lines()
    assert b'"n":1.10,"m":123456789012345678901234567890' in first
    assert b'"n":1e400,"m":-0.0' in second


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b'{"meta": {"changed": "2026-01-02T03:04:05Z"}}', "its key id is missing or null"),
        (b'{"id": {}, "meta": {"changed": "2026-01-02T03:04:05Z"}}', "its key id is an object or a list"),
        (b'{"id": 1, "meta": {"changed": null}}', "its cursor meta.changed is missing"),
        (b'{"id": 1, "meta": {"changed": "yesterday"}}', "its cursor meta.changed is no time: 'yesterday'"),
        (b'{"id": 1, "meta": {"changed": 1767323045}}', "not ISO-8601 text"),
        (b'{"id": 1, "a": 1, "a": 2, "meta": {"changed": "2026-01-02T03:04:05Z"}}', "has the same member twice"),
        (b'{"id": 1, "b": {"a": 1, "a": 2}, "meta": {"changed": "2026-01-02T03:04:05Z"}}', "the same member twice"),
        (b'{"id": 1, "t": "\\ud800", "meta": {"changed": "2026-01-02T03:04:05Z"}}', "cannot be written as JSON"),
        (b'{"id": "\\ud800", "meta": {"changed": "2026-01-02T03:04:05Z"}}', "cannot be written as JSON"),
        (b"17", "it is no JSON object"),
    ],
)
def test_a_record_that_cannot_be_converted_is_rejected(api: Api, reader: Reader, record: bytes, reason: str) -> None:
    fine = b'{"id": "fine", "meta": {"changed": "2026-01-02T03:04:05Z"}}'
    api.always = answer(b'{"data": {"items": [%s, %s]}}' % (record, fine))
    report = reader.cycle()
    assert (report.rows_staged, report.rows_rejected) == (1, 1)
    assert reason in orjson.loads(*reader.lines("rejects"))["reason"]
    assert list(reader.held()) == ["fine"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"exclude": ("text",)}, {"id", "meta", "stars"}),
        ({"columns": ("id", "meta.changed")}, {"id", "meta"}),
        ({"start": HOUR_AGO + timedelta(hours=2)}, None),
    ],
)
def test_a_stream_may_leave_members_and_records_out(
    api: Api, reader: Reader, changes: dict[str, Any], expected: set[str] | None
) -> None:
    api.put("a", HOUR_AGO, text="private", stars=1)
    report = reader.cycle(replace(REVIEWS, **changes))
    assert report.rows_staged == (1 if expected else 0)
    if expected:
        assert reader.held()["a"].keys() == expected
