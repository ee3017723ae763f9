"""Query sales over time from the marts. This module must not import Streamlit."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pandas as pd

from adventure.dashboard.sales import zones
from adventure.dashboard.sales.metrics import SEGMENTS, Measure, Segment, options
from adventure.dashboard.sales.scope import Grain, Scope, grain_in_days
from adventure.destinations.published import Query

_CENT = Decimal("0.01")


def sparkline(query: Query, scope: Scope, today: date) -> pd.DataFrame:
    """Return orders, units, revenue, customers and average_order, one row per finished day, or per week or month."""
    grain = grain_in_days(scope.days)
    condition, values = scope.condition("order_hour")
    sales = query(
        f"""
        select
            cast(date_trunc('{grain}', {scope.local("order_hour")}) as date) as period,
            cast(sum(orders) as bigint) as orders,
            cast(sum(units) as bigint) as units,
            sum(revenue) as revenue
        from sales_by_hour
        where {condition}
        group by 1
        """,
        values,
    ).set_index("period")
    condition, values = scope.in_utc().condition("order_day", any_channel=False)
    customers = query(
        f"""
        select cast(date_trunc('{grain}', order_day) as date) as period, cast(sum(customers) as bigint) as customers
        from customers_by_day
        where {condition}
            and (
                previous_order_day is null
                or previous_order_day < date_trunc('{grain}', order_day)
                or previous_order_day < ?
            )
        group by 1
        """,
        [*values, scope.first],
    ).set_index("period")
    over = min(scope.last, today - timedelta(1)) if grain == "day" else scope.last
    whole = periods(scope.first, over, grain)
    return _filled(sales.join(customers).reindex(pd.DatetimeIndex(whole)))


def _filled(both: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with zeros where nothing was sold, and with the average order."""
    counts = ["orders", "units", "customers"]
    both[counts] = both[counts].fillna(0).astype("int64")
    revenue = [Decimal(0) if pd.isna(value) else Decimal(value) for value in both["revenue"]]
    both["revenue"] = pd.Series(revenue, index=both.index, dtype=object)
    average = [
        (value / orders).quantize(_CENT) if orders else Decimal(0)
        for value, orders in zip(revenue, both["orders"].tolist(), strict=True)
    ]
    both["average_order"] = pd.Series(average, index=both.index, dtype=object)
    return both


def series(query: Query, scope: Scope, segment: Segment, measure: Measure, grain: Grain, now: datetime) -> pd.DataFrame:
    """Return `period`, `segment` and `value`, one row per period and segment. No sales are zero, not missing.

    Segments are ordered by their revenue of all time, largest first: each keeps its place when the period changes.
    Periods that have not begun are left out. An hour that occurs
    twice, when clocks are set back, is one period.

    Args:
        now: in the scope's time zone.
    """
    dimension = SEGMENTS[segment]
    condition, values = scope.condition("order_hour")
    found = query(
        f"""
        select
            cast(date_trunc('{grain}', {scope.local("order_hour")}) as timestamp) as period,
            {dimension.column} as segment,
            sum({measure}) as value
        from {dimension.mart}
        where {condition}
        group by 1, 2
        """,
        values,
    )
    if found.empty:
        return found
    found["value"] = found["value"].map(Decimal)
    sold = set(found["segment"])
    order = [name for name in options(query, segment) if name in sold]
    end = min(datetime(scope.last.year, scope.last.month, scope.last.day, 23), now)
    starts = periods(scope.first, end, grain)
    if grain == "hour" and scope.zone != "UTC":
        starts = starts[[zones.exists(start.to_pydatetime(), scope.zone) for start in starts]]
    whole = pd.MultiIndex.from_product([starts, order], names=["period", "segment"])
    complete = found.set_index(["period", "segment"]).reindex(whole).reset_index()
    filled = [Decimal(0) if pd.isna(value) else value for value in complete["value"]]
    complete["value"] = pd.Series(filled, dtype=object)
    return complete


def periods(first: date, end: date | datetime, grain: str) -> pd.DatetimeIndex:
    """Return the start of each hour, day, week (from Monday) or month from `first` to `end`."""
    start = pd.Timestamp(first)
    if grain == "week":
        start -= pd.Timedelta(days=start.weekday())
    if grain == "month":
        start = start.replace(day=1)
    return pd.date_range(start, pd.Timestamp(end), freq={"hour": "h", "day": "D", "week": "7D", "month": "MS"}[grain])


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the series as a table: one row per period, newest first, one column per segment, and their sum."""
    order = list(dict.fromkeys(rows["segment"]))
    wide = rows.pivot(index="period", columns="segment", values="value")[order].sort_index(ascending=False)
    wide.columns.name = None
    wide["Total"] = wide.sum(axis=1)
    return wide
