"""Unusual days, notes on days, and targets of months. This module must not import Streamlit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd

from adventure.dashboard import format
from adventure.dashboard.sales.scope import Scope
from adventure.destinations.published import Query


@dataclass(frozen=True)
class UnusualDay:
    """A day whose orders are outside the expected band."""

    day: date
    orders: int
    low: float
    high: float
    segment: str | None
    """The country or channel that is most unusual in the same direction; None if one is chosen already."""
    difference: float | None
    """How many orders more than expected it had."""


def unusual_days(query: Query, scope: Scope) -> list[UnusualDay]:
    """Return the unusual days of the scope, the earliest first. There are none for several countries or channels."""
    if len(scope.countries) + len(scope.channels) > 1:
        return []
    dimension, segment = "all", "all"
    for name, chosen in (("country", scope.countries), ("channel", scope.channels)):
        if chosen:
            dimension, segment = name, chosen[0]
    found = query(
        """
        with unusual as (
            select order_day, orders, expected, low, high
            from order_bands_by_day
            where is_unusual and dimension = ? and segment = ? and order_day >= ? and order_day <= ?
        ),

        ranked as (
            select
                bands.order_day,
                bands.segment,
                bands.orders - bands.expected as difference,
                row_number() over (
                    partition by bands.order_day
                    order by
                        case when unusual.orders > unusual.expected then 1 else -1 end
                        * (bands.orders - bands.expected) / nullif(bands.high - bands.expected, 0) desc nulls last,
                        bands.segment
                ) as place
            from order_bands_by_day as bands
            inner join unusual
                on bands.order_day = unusual.order_day
            where bands.dimension <> 'all'
        )

        select unusual.order_day, unusual.orders, unusual.low, unusual.high, ranked.segment, ranked.difference
        from unusual
        left join ranked
            on unusual.order_day = ranked.order_day and ranked.place = 1
        order by unusual.order_day
        """,
        [dimension, segment, scope.first, scope.last],
    )
    return [
        _unusual_day(row, is_explained=dimension == "all")
        for row in found[["order_day", "orders", "low", "high", "segment", "difference"]].to_numpy().tolist()
    ]


def _unusual_day(row: Sequence[Any], *, is_explained: bool) -> UnusualDay:
    day, orders, low, high, segment, difference = row
    known = is_explained and isinstance(segment, str)
    return UnusualDay(
        pd.Timestamp(day).date(),
        int(orders),
        float(low),
        float(high),
        segment if known else None,
        float(difference) if known else None,
    )


def sentence(day: UnusualDay) -> str:
    """Return the day with its orders, what was expected, and what explains it."""
    text = f"{format.day(day.day)}: {day.orders:,} orders, where {day.low:,.0f} to {day.high:,.0f} were expected"
    if day.segment is None or day.difference is None:
        return text
    segment = day.segment if len(day.segment) <= 40 else f"{day.segment[:39]}…"
    more = "more" if day.difference > 0 else "fewer"
    return f"{text}; most unusual is {segment}, with {abs(day.difference):,.0f} {more} than expected"


def annotations(query: Query, scope: Scope) -> list[tuple[date, str]]:
    """Return the notes on the days of the scope, the earliest first."""
    found = query(
        "select annotation_day, annotation from sales_annotations where annotation_day >= ? and annotation_day <= ?"
        " order by annotation_day, annotation",
        [scope.first, scope.last],
    )
    return [(pd.Timestamp(day).date(), str(text)) for day, text in found.to_numpy().tolist()]


def targets(query: Query, today: date) -> dict[str, Decimal]:
    """Return the target revenue of the current month, quarter and year, by their names in `to_date`.

    A quarter or a year has a target if each of its months has one.
    """
    found = query(
        "select target_month, revenue from sales_targets where extract(year from target_month) = ?", [today.year]
    )
    months = {pd.Timestamp(month).month: Decimal(value) for month, value in found.to_numpy().tolist()}
    quarter = (today.month - 1) // 3 * 3 + 1
    spans = {
        "Month to date": [today.month],
        "Quarter to date": list(range(quarter, quarter + 3)),
        "Year to date": list(range(1, 13)),
    }
    return {
        name: sum((months[month] for month in wanted), Decimal(0))
        for name, wanted in spans.items()
        if all(month in months for month in wanted)
    }
