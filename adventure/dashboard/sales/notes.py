"""Unusual days, notes on days, and targets of months. This module must not import Streamlit."""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd

from adventure.dashboard import format
from adventure.dashboard.sales.scope import Scope
from adventure.destinations.published import Query


@dataclass(frozen=True)
class UnusualDay:
    """A day whose orders, or those of a country or channel, are outside the expected band."""

    day: date
    name: str | None
    """The country, the channel, or both; None for all orders of the filters."""
    orders: int
    low: float
    high: float
    segment: str | None = None
    """For all orders: the country or channel that is most unusual in the same direction."""
    difference: float | None = None
    """How many orders more than expected that segment had."""


def unusual_days(query: Query, scope: Scope) -> list[UnusualDay]:
    """Return the unusual days of the scope, the earliest first; none if several countries or channels are chosen.

    Without filters, a day is also unusual if only a country or channel is. Each day is returned once.
    """
    if len(scope.countries) > 1 or len(scope.channels) > 1:
        return []
    segment = ", ".join((*scope.countries, *scope.channels))
    dimension = "market" if scope.countries and scope.channels else "country" if scope.countries else "channel"
    condition, values = ("dimension = ? and segment = ?", [dimension, segment]) if segment else ("1 = 1", [])
    found = query(
        f"""
        select order_day, dimension, segment, orders, expected, low, high, score, is_unusual
        from order_bands_by_day
        where order_day >= ? and order_day <= ? and {condition}
            and order_day in (
                select order_day from order_bands_by_day where is_unusual and {condition}
            )
        order by order_day, abs(score) desc, dimension, segment
        """,
        [scope.first, scope.last, *values, *values],
    )
    return [_unusual_day(rows, is_filtered=bool(segment)) for _, rows in found.groupby("order_day", sort=True)]


def _unusual_day(rows: pd.DataFrame, *, is_filtered: bool) -> UnusualDay:
    """Return one day. Its rows begin with the most unusual segment."""
    segments: list[dict[Any, Any]] = rows.to_dict("records")
    unusual = [row for row in segments if row["is_unusual"]]
    head = next((row for row in unusual if row["dimension"] == "all"), unusual[0])
    day = UnusualDay(
        pd.Timestamp(head["order_day"]).date(),
        None if is_filtered or head["dimension"] == "all" else str(head["segment"]),
        int(head["orders"]),
        float(head["low"]),
        float(head["high"]),
    )
    alike = [row for row in segments if row["dimension"] != "all" and row["score"] * head["score"] > 0]
    if head["dimension"] != "all" or not alike:
        return day
    return replace(day, segment=str(alike[0]["segment"]), difference=float(alike[0]["orders"] - alike[0]["expected"]))


def sentence(day: UnusualDay) -> str:
    """Return the day with its orders, what was expected, and what is most unusual."""
    name = f"{_short(day.name)}, " if day.name else ""
    text = f"{format.day(day.day)}: {name}{day.orders:,} orders, where {day.low:,.0f} to {day.high:,.0f} were expected"
    if day.segment is None or day.difference is None:
        return text
    more = "more" if day.difference > 0 else "fewer"
    return f"{text}; most unusual is {_short(day.segment)}, with {abs(day.difference):,.0f} {more} than expected"


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:39]}…"


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
