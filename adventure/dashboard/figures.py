"""The figures that the page shows, as questions to `sales_last_30_days`. This file must not know Streamlit.

Days are calendar days in UTC. The last 30 days are today and the 29 before it; they are compared with the 30 before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

import pandas as pd

Query = Callable[[str, Sequence[object]], pd.DataFrame]
Measure = Literal["revenue", "orders", "units"]
Segment = Literal["country", "channel", "loyalty"]
Grain = Literal["day", "hour"]

MEASURES: dict[Measure, str] = {"revenue": "Revenue", "orders": "Orders", "units": "Units"}
SEGMENTS: dict[Segment, str] = {"country": "Country", "channel": "Channel", "loyalty": "Customer"}
PERIODS: dict[str, int] = {"30 days": 30, "7 days": 7, "3 days": 3}
DAYS = 30
HOURLY_UP_TO_DAYS = 3


@dataclass(frozen=True)
class Total:
    """Sales of a period."""

    orders: int
    units: int
    revenue: Decimal

    @property
    def average_order(self) -> Decimal:
        """Revenue per order; zero without orders."""
        return self.revenue / self.orders if self.orders else Decimal(0)


@dataclass(frozen=True)
class Publication:
    """When the published copy was built, and up to when its sales were read; naive UTC."""

    built_at: datetime
    data_as_of: datetime | None


def publication(query: Query) -> Publication:
    """What the copy says of itself."""
    row = query("select built_at, data_as_of from publication", []).iloc[0]
    as_of = None if pd.isna(row.data_as_of) else row.data_as_of.to_pydatetime()
    return Publication(row.built_at.to_pydatetime(), as_of)


def total(query: Query, first: date, last: date) -> Total:
    """Sales from `first` to `last`, both included."""
    row = query(
        """
        select
            coalesce(sum(orders), 0)::bigint as orders,
            coalesce(sum(units), 0)::bigint as units,
            coalesce(sum(revenue), 0) as revenue
        from sales_last_30_days
        where order_hour >= ? and order_hour < ?
        """,
        [_start(first), _start(last + timedelta(days=1))],
    ).iloc[0]
    return Total(int(row.orders), int(row.units), Decimal(row.revenue))


def compared(query: Query, today: date) -> tuple[Total, Total]:
    """The last 30 days, and the 30 before."""
    first = today - timedelta(days=DAYS - 1)
    return total(query, first, today), total(query, first - timedelta(days=DAYS), first - timedelta(days=1))


def series(query: Query, segment: Segment, measure: Measure, today: date, days: int) -> pd.DataFrame:
    """One row a period and segment: `period`, `segment`, `value`. What was not sold is zero, not missing.

    Periods are hours up to HOURLY_UP_TO_DAYS days, else days. Segments are ordered by their sum, largest first.
    """
    first = today - timedelta(days=days - 1)
    grain = grain_of(days)
    # Names of columns, out of our own lists; values are bound.
    found = query(
        f"""
        select date_trunc('{grain}', order_hour)::timestamp as period, {segment} as segment, sum({measure}) as value
        from sales_last_30_days
        where order_hour >= ? and order_hour < ?
        group by 1, 2
        """,
        [_start(first), _start(today + timedelta(days=1))],
    )
    if found.empty:
        return found
    found["value"] = found["value"].map(Decimal)
    order = found.groupby("segment")["value"].sum().sort_values(ascending=False).index
    last = found["period"].max() if grain == "hour" else pd.Timestamp(today)
    periods = pd.date_range(_start(first), last, freq="h" if grain == "hour" else "D")
    whole = pd.MultiIndex.from_product([periods, order], names=["period", "segment"])
    complete = found.set_index(["period", "segment"]).reindex(whole).reset_index()
    values = [Decimal(0) if pd.isna(value) else value for value in complete["value"]]
    complete["value"] = pd.Series(values, dtype=object)
    return complete


def grain_of(days: int) -> Grain:
    """Hours where they can still be told apart."""
    return "hour" if days <= HOURLY_UP_TO_DAYS else "day"


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """The series as a table: a row a period, newest first, a column a segment, and their sum."""
    order = list(dict.fromkeys(rows["segment"]))
    wide = rows.pivot(index="period", columns="segment", values="value")[order].sort_index(ascending=False)
    wide.columns.name = None
    wide["Total"] = wide.sum(axis=1)
    return wide


def change(now: Decimal | int, before: Decimal | int) -> float | None:
    """The relative change; None where there was nothing before."""
    return float(now / before - 1) if before else None


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)
