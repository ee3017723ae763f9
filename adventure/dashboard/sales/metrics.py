"""Query the sales metrics from the marts. This module must not import Streamlit.

Statements contain only marts and columns from the lists below; all other values are bound.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

import pandas as pd

from adventure.dashboard.sales import zones
from adventure.dashboard.sales.scope import Scope
from adventure.destinations.published import Query

Measure = Literal["revenue", "orders", "units"]
Segment = Literal["country", "channel", "loyalty", "category", "campaign"]

MEASURES: dict[Measure, str] = {"revenue": "Revenue", "orders": "Orders", "units": "Units"}


@dataclass(frozen=True)
class Dimension:
    """A segment's label, and the mart and column that hold it."""

    label: str
    mart: str
    column: str


SEGMENTS: dict[Segment, Dimension] = {
    "country": Dimension("Country", "sales_by_hour", "country"),
    "channel": Dimension("Channel", "sales_by_hour", "channel"),
    "loyalty": Dimension("Loyalty", "sales_by_hour", "loyalty"),
    "category": Dimension("Product category", "category_sales_by_hour", "product_category"),
    "campaign": Dimension("Campaign segment", "sales_by_hour", "campaign_segment"),
}


@dataclass(frozen=True)
class Publication:
    """When the published data was built, and up to when sales were read; naive UTC."""

    built_at: datetime
    data_as_of: datetime | None


@dataclass(frozen=True)
class Total:
    """The totals of a scope."""

    orders: int
    units: int
    revenue: Decimal
    customers: int

    @property
    def average_order(self) -> Decimal:
        """Return the revenue per order; zero without orders."""
        return self.revenue / self.orders if self.orders else Decimal(0)


def publication(query: Query) -> Publication:
    """Return when the published data was built and read."""
    row = query("select built_at, data_as_of from publication", []).iloc[0]
    as_of = None if pd.isna(row.data_as_of) else row.data_as_of.to_pydatetime()
    return Publication(row.built_at.to_pydatetime(), as_of)


def descriptions(query: Query) -> dict[tuple[str, str], str]:
    """Return dbt's descriptions of columns and metrics, by mart and name."""
    rows = query("select model, name, text from descriptions", [])
    return {(model, name): text for model, name, text in rows.to_numpy().tolist()}


def bounds(query: Query, zone: str = "UTC") -> tuple[date, date] | None:
    """Return the first and last day with sales in the time zone; None without sales."""
    row = query("select min(order_hour) as first_hour, max(order_hour) as last_hour from sales_by_hour", []).iloc[0]
    if pd.isna(row.first_hour):
        return None
    first, last = (zones.to_local(hour.to_pydatetime(), zone).date() for hour in (row.first_hour, row.last_hour))
    return first, last


def dates_only_until(query: Query) -> date | None:
    """Return the day in UTC before which all sales have a day but no time of day; None if there are no such days."""
    row = query(
        "select min(order_hour) as first_hour,"
        " min(case when extract(hour from order_hour) <> 0 then order_hour end) as first_timed from sales_by_hour",
        [],
    ).iloc[0]
    if pd.isna(row.first_timed) or row.first_timed.date() <= row.first_hour.date():
        return None
    until: date = row.first_timed.date()
    return until


def options(query: Query, segment: Segment) -> list[str]:
    """Return all names of a segment, ordered by their revenue of all time."""
    column, mart = SEGMENTS[segment].column, SEGMENTS[segment].mart
    rows = query(f"select {column} as name from {mart} group by 1 order by sum(revenue) desc, 1", [])
    return list(rows["name"])


def total(query: Query, scope: Scope) -> Total:
    """Return the totals of the scope. A customer who ordered on several days, which are those of UTC, counts once."""
    condition, values = scope.condition("order_hour")
    row = query(
        f"""
        select
            cast(coalesce(sum(orders), 0) as bigint) as orders,
            cast(coalesce(sum(units), 0) as bigint) as units,
            coalesce(sum(revenue), 0) as revenue
        from sales_by_hour
        where {condition}
        """,
        values,
    ).iloc[0]
    condition, values = scope.in_utc().condition("order_day", any_channel=False)
    customers = query(
        f"""
        select cast(coalesce(sum(customers), 0) as bigint) as customers
        from customers_by_day
        where {condition} and (previous_order_day is null or previous_order_day < ?)
        """,
        [*values, scope.first],
    )["customers"][0]
    return Total(int(row.orders), int(row.units), Decimal(row.revenue), int(customers))


def compared_totals(
    query: Query, scope: Scope, today: date, earliest: date | None = None
) -> tuple[Total, Total] | None:
    """Return the totals of the days that a change compares, and of those before; None if nothing can be compared."""
    compared = scope.compared(today, earliest)
    return compared and (total(query, compared[0]), total(query, compared[1]))


def metric_change(totals: tuple[Total, Total] | None, metric: Callable[[Total], Decimal | int]) -> float | None:
    """Return a metric's relative change between the totals; None if there is nothing to compare with."""
    return relative_change(metric(totals[0]), metric(totals[1])) if totals else None


def relative_change(now: Decimal | int | float, before: Decimal | int | float) -> float | None:
    """Return the relative change; None if `before` is zero."""
    return float(now / before) - 1 if before else None  # type: ignore[operator]


def contributions(
    query: Query, scope: Scope, segment: Segment, measure: Measure, today: date, earliest: date | None = None
) -> pd.DataFrame:
    """Return each segment's contribution to the change: `segment`, `now`, `before`, `change`, `relative`."""
    dimension, compared = SEGMENTS[segment], scope.compared(today, earliest)
    if compared is None:
        return pd.DataFrame()
    (is_now, now_values), (is_before, before_values) = (each.condition("order_hour") for each in compared)
    found = query(
        f"""
        select
            {dimension.column} as segment,
            coalesce(sum(case when {is_now} then {measure} end), 0) as late,
            coalesce(sum(case when {is_before} then {measure} end), 0) as early
        from {dimension.mart}
        where {is_now} or {is_before}
        group by 1
        """,
        [*now_values, *before_values, *now_values, *before_values],
    )
    # Snowflake answers with integers of NumPy, which Decimal refuses.
    rows = [(name, Decimal(str(late)), Decimal(str(early))) for name, late, early in found.to_numpy().tolist()]
    changes = [(name, late, early, late - early, relative_change(late, early)) for name, late, early in rows]
    changes.sort(key=lambda row: (-row[3], row[0]))
    return pd.DataFrame(changes, columns=["segment", "now", "before", "change", "relative"])


def top_products(query: Query, scope: Scope, measure: Measure, limit: int = 10) -> pd.DataFrame:
    """Return the best-selling products by a measure: product, category, revenue, orders, units, share."""
    condition, values = scope.condition("order_day")
    found = query(
        f"""
        with sold as (
            select product_id, sum(revenue) as revenue, sum(orders) as orders, sum(units) as units
            from product_sales_by_day
            where {condition}
            group by product_id
        )

        select
            coalesce(products.product_name, concat('Product ', sold.product_id)) as product,
            coalesce(products.product_category, 'Unknown') as category,
            sold.revenue,
            cast(sold.orders as bigint) as orders,
            cast(sold.units as bigint) as units,
            sold.{measure} / nullif(sum(sold.{measure}) over (), 0) as share
        from sold
        left join dim_products as products
            on sold.product_id = products.product_id
        order by sold.{measure} desc, sold.product_id
        limit {limit:d}
        """,
        values,
    )
    found["share"] = found["share"].astype(float)
    return found


def country_by_channel(query: Query, scope: Scope, measure: Measure) -> pd.DataFrame:
    """Return one row per country and one column per channel, with total and share; largest first."""
    condition, values = scope.condition("order_hour")
    found = query(
        f"select country, channel, sum({measure}) as value from sales_by_hour where {condition} group by 1, 2", values
    )
    if found.empty:
        return found
    found["value"] = found["value"].map(Decimal)
    wide = found.pivot(index="country", columns="channel", values="value")
    wide = wide.map(lambda value: Decimal(0) if pd.isna(value) else value)
    wide.columns.name = wide.index.name = None
    wide["Total"] = wide.sum(axis=1)
    wide = wide.sort_values("Total", ascending=False, kind="stable")
    whole = wide["Total"].sum()
    wide["Share"] = [float(value / whole) if whole else 0.0 for value in wide["Total"]]
    return wide
