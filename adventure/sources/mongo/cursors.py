"""Convert a document's cursor (a date, or text in any ISO-8601 form) to UTC, and build query ranges for cursors."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from bson.datetime_ms import DatetimeMS

from adventure.core.clock import earlier, later
from adventure.sources.iso_text import READ_ALIKE
from adventure.sources.mongo.bson_walk import CannotConvert

_OFFSETS = timedelta(days=1)
"""No zone is further from UTC, so the day in a text differs from the day in UTC by at most one."""
_FEW_YEARS = 5
"""Up to this many years, query one range of week dates per year. Beyond, one range with a pattern is cheaper."""

_LAST = "\U0010ffff"
"""Appended to a prefix, this sorts above every text with that prefix."""


def cursor_moment(name: str, value: object) -> datetime:
    """Return a cursor's value as naive UTC. Text without an offset is UTC.

    Raises:
        CannotConvert: it is missing, not a date, text that is not an ISO-8601 date, or a date that Python cannot hold.
    """
    moment: object = value
    if isinstance(value, DatetimeMS):
        raise CannotConvert("its cursor is a date outside of the years 1 to 9999")
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise CannotConvert(f"its cursor is text that is no ISO-8601 date: {value[:50]!r}") from error
    if not isinstance(moment, datetime):
        raise CannotConvert(f"its cursor {name} is missing, or neither a date nor text")
    try:
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except OverflowError as error:
        raise CannotConvert("its cursor is a date outside of the years 1 to 9999") from error


def cursor_ranges(low: datetime, high: datetime | None) -> Iterator[dict[str, Any]]:
    """Yield cursor ranges that hold every document of `[low, high)`, each for one kind of value.

    No document is in two ranges. The ranges may hold documents outside of `[low, high)`, because text sorts by its
    local time, and its ranges are widened by whole days. The caller has to compare the cursors. The text forms are
    those of `datetime.fromisoformat`: 2026-01-31, 20260131, and weeks such as 2026-W05-6 and 2026W056.
    """
    last = datetime.max if high is None else later(high, 2 * _OFFSETS)
    first = earlier(low, _OFFSETS)
    yield {"$gte": low} if high is None else {"$gte": low, "$lt": later(high, timedelta(milliseconds=1))}
    for sign, form in (("-", "^[0-9]{4}-[0-9]"), ("", "^[0-9]{5}")):
        yield {"$gte": _day(first, sign), "$lt": _day(last, sign) + _LAST, "$regex": form}
    # A week's year is not always its days' year: 2026-W53-7 is 3 January 2027, 2026-W01-1 is 29 December 2025.
    begin, end = first.year - 1, last.year + 1
    if end - begin > _FEW_YEARS:
        yield {"$gte": f"{begin:04}", "$lt": f"{min(end, 9999):04}" + _LAST, "$regex": "^[0-9]{4}-?W"}
        return
    for year in range(begin, end + 1):
        for form in (f"{year:04}-W", f"{year:04}W"):
            yield {"$gte": form, "$lt": form + _LAST}


def cursor_to_add(name: str, value: object) -> str | None:
    """Return the cursor in UTC as text, if the cursor itself is text that a warehouse may misread; else None.

    DuckDB cannot read `20260102` as a time, and Snowflake reads it as seconds since 1970.

    Raises:
        CannotConvert: see `cursor_moment`.
    """
    if not isinstance(value, str) or READ_ALIKE.fullmatch(value):
        return None
    return cursor_moment(name, value).isoformat(timespec="microseconds") + "Z"


def _day(moment: datetime, sign: str) -> str:
    return f"{moment.year:04}{sign}{moment.month:02}{sign}{moment.day:02}"
