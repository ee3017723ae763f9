"""The validation queries in Snowflake's SQL, run against the emulator."""

import json

import pytest

from adventure.core.settings import Settings
from adventure.destinations.snowflake.session import connect_snowflake
from adventure.monitoring.checks.sales import ATTRIBUTES, COLUMNS, LAST_30_DAYS, MARCH
from adventure.monitoring.queries import Result, run_queries
from tests.snowflake.pair import Pair

_ORDERS = (
    ("a", "timestamp '2013-03-31 23:59:59'", "'16'", [{"OrderQty": 1, "ProductID": "707"}, {"OrderQty": None}]),
    ("b", "timestamp '2013-03-01'", "null", [{"OrderQty": 2}]),
    ("c", "timestamp '2013-04-01'", "'16'", [{"OrderQty": 2}]),
    ("d", "dateadd(day, -30, date_trunc('day', sysdate()))", "'16'", [{"OrderQty": 2, "ProductID": "1"}]),
    ("e", "dateadd(day, -31, date_trunc('day', sysdate()))", "'16'", [{"OrderQty": 2}]),
)
"""Identity, date, card and lines; the third and the last one belong to no period."""


def test_both_queries_give_the_shares_of_each_period(snowflake_settings: Settings) -> None:
    with connect_snowflake(snowflake_settings) as connection, connection.cursor() as cursor:
        kinds = {"order_date": "timestamp_ntz", "order_details": "variant"}
        described = ", ".join(f"{name} {kinds.get(name, 'varchar')}" for name in COLUMNS)
        cursor.execute(f"create table dbt_prod.stg_ecom__sales_orders ({described})")
        cursor.execute("create table dbt_prod.base_real_time__sales_orders (sales_order_id varchar)")
        for order_id, placed, card, lines in _ORDERS:
            cursor.execute(
                "insert into dbt_prod.stg_ecom__sales_orders"
                " (sales_order_id, order_date, credit_card_id, order_details)"
                f" select '{order_id}', {placed}, {card}, parse_json('{json.dumps(lines)}')"
            )
    columns, attributes = run_queries(snowflake_settings)
    assert _found(columns) == {
        "orders": (2, 1),
        **dict.fromkeys(COLUMNS, (0, 0)),
        **dict.fromkeys(("sales_order_id", "order_date", "order_details"), (1, 1)),
        "credit_card_id": (0.5, 1),
    }
    assert _found(attributes) == {
        "orders": (2, 1),
        "lines": (3, 1),
        "lines_per_order": (1.5, 1),
        **dict.fromkeys(ATTRIBUTES, (0, 0)),
        "order_qty": (0.667, 1),
        "product_id": (0.333, 1),
    }


@pytest.mark.slow
def test_both_warehouses_give_the_same_figures(pair: Pair) -> None:
    ours, theirs = run_queries(pair.settings), run_queries(pair.snowflake)
    for one, other in zip(ours, theirs, strict=True):
        assert one.figures[0].found[LAST_30_DAYS], "nothing was compared"
        assert _found(one) == _found(other)


def _found(result: Result) -> dict[str, tuple[float | None, ...]]:
    """Return the figures of both periods by column; Snowflake's are decimals."""
    return {
        figure.name: tuple(
            value if (value := figure.found[period]) is None else float(value) for period in (MARCH, LAST_30_DAYS)
        )
        for figure in result.figures
    }
