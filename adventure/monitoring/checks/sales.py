"""Check that sales are plausible: March 2013, whose metrics are known, beside the last 30 days.

One statement in sales.sql queries and judges. All warehouses run it, each with the expressions of its module `kind`:
`adventure check` runs the text of the warehouse; `make worksheet` writes Snowflake's.
"""

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from adventure.destinations.warehouse import Executor
from adventure.monitoring.checks.check import Check

COLUMNS = (
    "sales_order_id", "customer_id", "account_number", "bill_to_address_id", "comment", "credit_card_approval_code",
    "credit_card_id", "currency_rate_id", "delivery_estimate_days", "due_date", "freight", "modified_date",
    "online_order_flag", "order_date", "order_details", "purchase_order_number", "revision_number",
    "sales_order_number", "sales_person_id", "ship_date", "shipping_method", "ship_to_address_id", "status",
    "sub_total", "tax_amt", "territory_id", "total_due",
)  # fmt: skip
"""The columns of `stg_ecom__sales_orders`, in its order."""

ATTRIBUTES = (
    "sales_order_detail_id", "carrier_tracking_number", "order_qty", "product_id", "special_offer_id", "unit_price",
    "unit_price_discount", "line_total", "modified_date",
)  # fmt: skip
"""The attributes of the lines nested in an order."""

SHARES = {
    "comment": (0, 0),
    # Live sales have no delivery estimate.
    "delivery_estimate_days": (1, 0),
    "credit_card_id": (0.964, 0.964),
    "credit_card_approval_code": (0.964, 0.964),
    "currency_rate_id": (0.442, 0.444),
    # Only orders of stores have these.
    "purchase_order_number": (0.304, 0.121),
    "sales_person_id": (0.304, 0.121),
}
"""The expected share of orders in which a column is not null, in March 2013 and in the last 30 days.

A column that is not listed is never null. The shares are those of AdventureWorks; the live generator follows its orders
of all years.
"""

MARCH, LAST_30_DAYS = "March 2013", "last 30 days"
_MARCH_ORDERS, _MARCH_LINES = 441, 2_613
_LINES_PER_ORDER = (5.925, 3.83)
_LINES_DEVIATION = 8
"""Standard deviation of the number of lines per order: stores order up to 72 lines."""
_FIRST_ORDER_ID = 43_659


def statement(dialect: Mapping[str, str]) -> str:
    """Return the statement. Its result has one row per metric: name; expected, tolerance, found, verdict per period.

    Args:
        dialect: the warehouse's own expressions; see `adventure.destinations.kind`.
    """
    shares = [f"        ('not null: {name}', {march}, {recent})" for name, (march, recent) in SHARES.items()]
    return (
        (files(__package__) / "sales.sql")
        .read_text(encoding="utf-8")
        .format(
            columns=",\n        ".join(COLUMNS),
            attributes=",\n        ".join(ATTRIBUTES),
            counted_columns=_counted(COLUMNS),
            counted_attributes=_counted(ATTRIBUTES),
            known_shares=",\n".join(shares),
            march_orders=_MARCH_ORDERS,
            march_lines=_MARCH_LINES,
            march_lines_per_order=_LINES_PER_ORDER[0],
            lines_per_order=_LINES_PER_ORDER[1],
            lines_deviation=_LINES_DEVIATION,
            first_order_id=_FIRST_ORDER_ID,
            **dialect,
        )
    )


def sales_checks(warehouse: Executor, dialect: Mapping[str, str]) -> Iterator[Check]:
    """Return two checks per metric, one for each period.

    Raises:
        WarehouseError: the warehouse cannot be read.
    """
    for name, *found in warehouse.execute(statement(dialect)):
        yield _check(name, MARCH, *found[:4])
        yield _check(name, LAST_30_DAYS, *found[4:])


def _check(name: str, period: str, expected: Any, tolerance: Any, found: Any, verdict: str | None) -> Check:
    is_count = name.startswith(("orders: ", "lines: "))
    return Check(
        name,
        _expected(expected, tolerance, verdict == "does not hold" and is_count),
        "-" if found is None else f"{found:,.0f}" if is_count else f"{found:.3f}",
        None if verdict is None else verdict == "holds",
        period,
    )


def _expected(value: Any, tolerance: Any, is_wrong_count: bool) -> str:
    if value is None:
        return "-"
    # If all layers are empty they agree, but the check does not hold: some rows are expected.
    return "some" if is_wrong_count and not value else f"{value:,g}" + (f" ± {tolerance:.3f}" if tolerance else "")


def _counted(columns: tuple[str, ...]) -> str:
    return ",\n".join(f"        count({column}) as {column}" for column in columns)
