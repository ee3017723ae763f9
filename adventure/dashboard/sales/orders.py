"""Query the latest orders and their lines. This module must not import Streamlit.

Without a chosen product or category an order counts with its sub-total; with one, with the lines that match. So figures
equal those of the Sales page. Statements contain only the columns below; all other values are bound.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

import pandas as pd

from adventure.dashboard.sales import metrics
from adventure.dashboard.sales.metrics import Measure
from adventure.dashboard.sales.zones import day_start
from adventure.destinations.published import Query

Dimension = Literal["country", "state", "channel", "salesperson", "category", "product", "loyalty", "campaign"]
List = Literal["orders", "lines"]

DIMENSIONS: dict[Dimension, str] = {
    "country": "Country",
    "state": "State",
    "channel": "Channel",
    "salesperson": "Salesperson",
    "category": "Category",
    "product": "Product",
    "loyalty": "New or returning",
    "campaign": "Customer segment",
}
_COLUMNS: dict[Dimension, str] = {
    "country": "o.country",
    "state": "o.state_province",
    "channel": "o.channel",
    "salesperson": "o.salesperson",
    "category": "l.product_category",
    "product": "l.product",
    "loyalty": "o.loyalty",
    "campaign": "o.campaign_segment",
}
_OF_LINES: tuple[Dimension, ...] = ("category", "product")
_ORDERS = "recent_orders as o"
_LINES = "recent_orders as o inner join recent_order_lines as l on o.recency = l.recency"
_AMOUNTS = {
    _ORDERS: {
        "revenue": "coalesce(sum(o.revenue), 0)",
        "orders": "cast(count(*) as bigint)",
        "units": "cast(coalesce(sum(o.units), 0) as bigint)",
    },
    _LINES: {
        "revenue": "coalesce(sum(l.line_total), 0)",
        "orders": "cast(count(distinct o.recency) as bigint)",
        "units": "cast(coalesce(sum(l.order_qty), 0) as bigint)",
    },
}


@dataclass(frozen=True)
class Selection:
    """The orders from the first to the last day, both included, that match the chosen values and the search."""

    first: date
    last: date
    zone: str = "UTC"
    """The time zone whose days are meant."""
    chosen: Mapping[Dimension, Sequence[str]] = field(default_factory=dict)
    """The chosen values; none means all."""
    search: str = ""
    """Part of an order number, of a customer's name or of a product's name, or a customer's id."""

    def tables(self, by: Dimension | None = None) -> str:
        """Return the tables that hold what is chosen and, if given, the dimension."""
        of_lines = any(self.chosen.get(name) for name in _OF_LINES) or by in _OF_LINES
        return _LINES if of_lines else _ORDERS

    def condition(self) -> tuple[str, list[object]]:
        """Return the SQL condition for rows of `tables`, and its bound values.

        A search for a product finds all lines of the orders that contain it.
        """
        terms = ["o.order_date >= ?", "o.order_date < ?"]
        values: list[object] = [day_start(self.first, self.zone), day_start(self.last + timedelta(days=1), self.zone)]
        for name, chosen in self.chosen.items():
            if chosen:
                terms.append(f"{_COLUMNS[name]} in ({', '.join('?' for _ in chosen)})")
                values += chosen
        if text := self.search.strip().lower():
            terms.append("(contains(o.search_text, ?) or o.customer_id = ?)")
            values += [text] * 2
        return " and ".join(terms), values


@dataclass(frozen=True)
class Total:
    """The totals of a selection."""

    orders: int
    units: int
    revenue: Decimal


def listed_from(query: Query, zone: str) -> date | None:
    """Return the first day of which all orders are listed; None if all orders are listed, or none."""
    row = query("select min(order_date) as first_order from recent_orders", []).iloc[0]
    bounds = metrics.bounds(query)
    if bounds is None or pd.isna(row.first_order) or row.first_order.date() <= bounds[0]:
        return None
    # Whole days in UTC are listed. Where the clock is behind, the same day begins later.
    first: date = row.first_order.date()
    is_whole = day_start(first, zone) >= datetime(first.year, first.month, first.day)
    return first if is_whole else first + timedelta(days=1)


def options(query: Query, name: Dimension) -> list[str]:
    """Return all listed values of a dimension in alphabetical order."""
    tables = "recent_order_lines as l" if name in _OF_LINES else _ORDERS
    rows = query(f"select distinct {_COLUMNS[name]} as name from {tables} order by 1", [])
    return list(rows["name"])


def total(query: Query, selection: Selection) -> Total:
    """Return the totals of the selection."""
    tables = selection.tables()
    condition, values = selection.condition()
    row = query(f"select {_amounts(tables)} from {tables} where {condition}", values).iloc[0]
    return Total(int(row.orders), int(row.units), Decimal(row.revenue))


def breakdown(query: Query, selection: Selection, by: Dimension, measure: Measure) -> pd.DataFrame:
    """Return `segment`, the measures and the share of the measure, one row per value, largest first.

    An order with products of several categories counts in each, as on the Sales page. So shares of orders are of all
    orders, and may add up to more than 100 %.
    """
    tables = selection.tables(by)
    condition, values = selection.condition()
    found = query(
        f"select {_COLUMNS[by]} as segment, {_amounts(tables)} from {tables} where {condition}"
        f" group by 1 order by {measure} desc, 1",
        values,
    )
    whole = sum(map(Decimal, found[measure].tolist()), Decimal(0))
    if measure == "orders" and by in _OF_LINES:
        whole = Decimal(total(query, selection).orders)
    found["share"] = [float(Decimal(value) / whole) if whole else 0.0 for value in found[measure].tolist()]
    return found


def count_lines(query: Query, selection: Selection) -> int:
    """Return how many lines `rows` returns without a limit. `total` has the number of orders."""
    condition, values = selection.condition()
    return int(query(f"select count(*) as n from {_LINES} where {condition}", values)["n"][0])


def rows(query: Query, selection: Selection, of: List, limit: int | None = None, skipped: int = 0) -> pd.DataFrame:
    """Return the selection's orders or their lines, newest first, with the times of the selection's zone.

    If products or categories are chosen, the lines are those of these products, and orders have the amounts of these
    lines.
    """
    read = _orders if of == "orders" else _lines
    found = read(query, selection, "" if limit is None else f"limit {limit:d} offset {skipped:d}")
    return found.assign(order_date=in_zone(found["order_date"], selection.zone))


def in_zone(moments: "pd.Series[pd.Timestamp]", zone: str) -> "pd.Series[pd.Timestamp]":
    """Return moments in naive UTC as local times."""
    return pd.to_datetime(moments).dt.tz_localize("UTC").dt.tz_convert(zone).dt.tz_localize(None)


def _orders(query: Query, selection: Selection, page: str) -> pd.DataFrame:
    tables = selection.tables()
    condition, values = selection.condition()
    # Without lines a row is an order, and there is nothing to add up.
    amounts = _AMOUNTS[_LINES] if tables == _LINES else {"revenue": "o.revenue", "units": "o.units"}
    columns = {
        "sales_order_number": "o.sales_order_number",
        "revenue": amounts["revenue"],
        "order_date": "o.order_date",
        "customer": "o.customer_name",
        "units": amounts["units"],
        "country": "o.country",
        "state": "o.state_province",
        "channel": "o.channel",
        "salesperson": "o.salesperson",
        "loyalty": "o.loyalty",
        "customer_segment": "o.campaign_segment",
        "customer_id": "o.customer_id",
    }
    chosen = ", ".join(f"{sql} as {name}" for name, sql in columns.items())
    plain = [sql for name, sql in columns.items() if name not in amounts]
    grouped = f" group by o.recency, {', '.join(plain)}" if tables == _LINES else ""
    return query(
        f"select {chosen} from {tables} where {condition}{grouped} order by o.recency {page}",
        values,
    )


def _lines(query: Query, selection: Selection, page: str) -> pd.DataFrame:
    condition, values = selection.condition()
    return query(
        f"""
        select
            o.sales_order_number,
            l.line_total as revenue,
            {_COLUMNS["product"]} as product,
            cast(l.order_qty as bigint) as units,
            l.unit_price,
            l.unit_price_discount as discount,
            {_COLUMNS["category"]} as category,
            o.order_date,
            o.customer_name as customer
        from {_LINES}
        where {condition}
        order by l.recency, l.sales_order_detail_id
        {page}
        """,
        values,
    )


def _amounts(tables: str) -> str:
    return ", ".join(f"{sql} as {name}" for name, sql in _AMOUNTS[tables].items())
