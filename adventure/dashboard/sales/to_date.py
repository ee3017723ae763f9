"""Sales of today, and of the week, month, quarter and year to date, beside the same span earlier. No Streamlit here.

All spans end at the last complete hour, so that both sides of a change have the same hours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import pandas as pd

from adventure.dashboard.sales import zones
from adventure.dashboard.sales.metrics import Measure, relative_change
from adventure.dashboard.sales.scope import Scope
from adventure.destinations.published import Query

_WEEK, _YEAR_OF_WEEKS = timedelta(days=7), timedelta(days=364)
"""A year of whole weeks, so that a day is compared with the same day of the week."""
_FORECAST_FROM = 4
"""The forecast follows the same days of so many weeks before."""
_FORECAST_SHARE = Decimal("0.25")
"""Before this share of a day's sales, a forecast says little."""

Range = tuple[datetime, datetime]
"""A start and an end, which is left out."""


@dataclass(frozen=True)
class Span:
    """A span of time up to now, and the spans that it is compared with."""

    name: str
    shown: Range
    before: Range | None
    last_year: Range


def spans(end: datetime, today: date) -> list[Span]:
    """Return today, yesterday, and week, month, quarter and year to date.

    Args:
        end: the end of the last complete hour.
        today: the current day; after the end, if nothing was read today.
    """
    day = datetime(today.year, today.month, today.day)
    yesterday = day - timedelta(days=1)
    monday = day - timedelta(days=day.weekday())
    month = day.replace(day=1)
    quarter = month.replace(month=(month.month - 1) // 3 * 3 + 1)
    year = month.replace(month=1)
    by_days = [
        ("Today so far", day, end),
        ("Yesterday", yesterday, min(day, end)),
        ("Week to date", monday, end),
    ]
    by_months = [("Month to date", month, 1), ("Quarter to date", quarter, 3), ("Year to date", year, None)]
    found = [
        Span(name, (start, stop), (start - _WEEK, stop - _WEEK), (start - _YEAR_OF_WEEKS, stop - _YEAR_OF_WEEKS))
        for name, start, stop in by_days
    ]
    for name, start, length in by_months:
        before = (months_before(start, length), months_before(end, length)) if length else None
        found.append(Span(name, (start, end), before, (months_before(start, 12), months_before(end, 12))))
    return found


def months_before(moment: datetime, months: int) -> datetime:
    """Return the same day and time some months before; the end of that month if it is shorter."""
    number = moment.year * 12 + moment.month - 1 - months
    first = datetime(number // 12, number % 12 + 1, 1)
    following = datetime((number + 1) // 12, (number + 1) % 12 + 1, 1)
    return min(first + (moment - moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)), following)


def to_date(query: Query, scope: Scope, measure: Measure, end: datetime, today: date, earliest: date) -> pd.DataFrame:
    """Return `period`, the measure, `before`, `change`, `last_year` and `change_last_year`, one row per span.

    A span that has not begun at `end` is left out: all are, if the last sales were read before this year, this
    week and yesterday. A comparison that begins before the first day with sales is empty.

    Args:
        scope: the countries, the channels and the time zone; its days are ignored.
        end: the end of the last complete hour, in that zone.
        earliest: the first day with sales.
    """
    begun = [span for span in spans(end, today) if span.shown[0] < span.shown[1]]
    ranges = [each for span in begun for each in (span.shown, span.before or span.shown, span.last_year)]
    sums = _sums(query, scope, measure, ranges)
    rows = []
    for place, span in enumerate(begun):
        value, before, last_year = sums[3 * place : 3 * place + 3]
        known = [
            amount if each and each[0].date() >= earliest and amount else None
            for each, amount in ((span.before, before), (span.last_year, last_year))
        ]
        changes = [relative_change(value, amount) if amount else None for amount in known]
        rows.append((span.name, value, known[0], changes[0], known[1], changes[1]))
    columns = ["period", measure, "before", "change", "last_year", "change_last_year"]
    return pd.DataFrame(rows, columns=columns).astype({"change": float, "change_last_year": float})


def forecast(query: Query, scope: Scope, measure: Measure, end: datetime, today: date) -> Decimal | None:
    """Return what today ends at if it goes on like the same day of the last four weeks.

    None early in the day, and without sales on these days.
    """
    day = datetime(today.year, today.month, today.day)
    if end <= day:
        return None
    weeks = [_WEEK * number for number in range(1, _FORECAST_FROM + 1)]
    until_now = [(day - week, end - week) for week in weeks]
    whole = [(day - week, day - week + timedelta(days=1)) for week in weeks]
    sold, *sums = _sums(query, scope, measure, [(day, end), *until_now, *whole])
    then, then_whole = sum(sums[:_FORECAST_FROM], Decimal(0)), sum(sums[_FORECAST_FROM:], Decimal(0))
    is_early = then < then_whole * _FORECAST_SHARE
    return None if is_early or not all(sums[_FORECAST_FROM:]) else sold * then_whole / then


def _sums(query: Query, scope: Scope, measure: Measure, ranges: Sequence[Range]) -> list[Decimal]:
    """Return the measure of each range, with one query."""
    if not ranges:
        return []
    condition, chosen = scope.filters()
    columns = ", ".join(
        f"coalesce(sum(case when order_hour >= ? and order_hour < ? then {measure} end), 0) as s{number}"
        for number in range(len(ranges))
    )
    bounds = [zones.to_utc(moment, scope.zone) for each in ranges for moment in each]
    row = query(
        f"select {columns} from sales_by_hour where order_hour >= ? and order_hour < ?{condition}",
        [*bounds, min(bounds), max(bounds), *chosen],
    ).iloc[0]
    # Snowflake answers with integers of NumPy, which Decimal refuses.
    return [Decimal(str(row[f"s{number}"])) for number in range(len(ranges))]
