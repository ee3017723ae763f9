"""The dashboard's marts, built in increments, equal those of a single build."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from tests.dbt.conftest import NOON, Project, chat, line, new_project, order, tombstone

pytestmark = pytest.mark.slow

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MARTS = {
    "sales_by_hour": "* exclude (_loaded_at)",
    "category_sales_by_hour": "* exclude (_loaded_at)",
    "product_sales_by_day": "* exclude (_loaded_at)",
    "customers_by_day": "*",
    "support_chats_by_day": "*",
    "campaign_events_by_day": "*",
    "order_bands_by_day": "*",
    "recent_orders": "* exclude (_loaded_at)",
    "recent_order_lines": "* exclude (_loaded_at)",
}
MODELS = ["--select", *(f"+{mart}" for mart in MARTS)]


def customer(customer_id: int, country: str) -> dict[str, object]:
    return {"customerid": customer_id, "firstname": "A", "lastname": "B", "fullname": "A B", "countryregion": country}


def tables(project: Project) -> dict[str, list[str]]:
    return {
        mart: sorted(str(row) for row in project.query(f"select {columns} from dbt_prod.{mart}"))
        for mart, columns in MARTS.items()
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> Project:
    """Builds with every change that moves an order between totals: its date, customer, an earlier order, a delete."""
    project = new_project(tmp_path_factory.mktemp("warehouse"), dbt_folder)
    products = [("707", "Bikes"), ("708", "Clothing"), ("709", None)]
    project.insert(
        "adventure_db.product_prod_db",
        [{"productid": int(key), "productname": key, "productcategory": category} for key, category in products],
    )
    project.insert("adventure_db.customer_prod_db", [customer(11000, "France"), customer(11001, "Germany")])
    project.load(
        orders=[
            order("stays", sub_total=Decimal(30)),
            order("moves", order_date=NOON + HOUR, sub_total=Decimal(10)),
            order("ends", customer_id=11001, order_date=NOON - 3 * DAY, sub_total=Decimal(10)),
            order("alone", customer_id=11001, order_date=NOON - 9 * DAY, online_order_flag=0, sub_total=Decimal(10)),
        ],
        lines=[
            line("s1", "stays", order_qty=2, product_id=707),
            line("s2", "stays", product_id=708),
            line("m1", "moves", product_id=709),
            line("e1", "ends"),
            line("a1", "alone"),
        ],
        chats=[chat("c1", sales_order_id="stays"), chat("c2", sales_order_id="not-there-yet")],
    )
    project.build_models(*MODELS)
    project.load(
        orders=[
            # An order that moves to another hour, a deleted one, and one earlier than the customer's first.
            order("moves", order_date=NOON + 2 * HOUR, sub_total=Decimal(10), last_modified=NOON + 5 * HOUR),
            tombstone("sales_order_id", "ends", NOON + 5 * HOUR),
            order("first", order_date=NOON - 20 * DAY, sub_total=Decimal(10)),
            order("not-there-yet", customer_id=99, sub_total=Decimal(10)),
        ],
        lines=[line("f1", "first"), line("n1", "not-there-yet"), line("s1", "stays", order_qty=3, last_modified=NOON + HOUR)],
    )  # fmt: skip
    project.build_models(*MODELS)
    return project


def test_totals_follow_changes(project: Project) -> None:
    assert project.query(
        "select order_hour, country, channel, loyalty, orders, units, revenue from dbt_prod.sales_by_hour order by all"
    ) == [
        (NOON - 20 * DAY, "France", "online", "first-time", 1, 1, Decimal(10)),
        (NOON - 9 * DAY, "Germany", "reseller", "first-time", 1, 1, Decimal(10)),
        (NOON, "France", "online", "repeat", 1, 4, Decimal(30)),
        (NOON, "Unknown", "online", "first-time", 1, 1, Decimal(10)),
        (NOON + 2 * HOUR, "France", "online", "repeat", 1, 1, Decimal(10)),
    ]


def test_an_order_counts_once_in_each_of_its_categories(project: Project) -> None:
    assert project.query(
        "select product_category, orders, units, revenue from dbt_prod.category_sales_by_hour"
        f" where country = 'France' and order_hour >= '{NOON}' order by all"
    ) == [
        ("Bikes", 1, 3, Decimal(30)),
        ("Clothing", 1, 1, Decimal(10)),
        ("Unknown", 1, 1, Decimal(10)),
    ]


@pytest.mark.parametrize(
    ("days", "channel", "customers"),
    [(0, "any", 2), (0, "online", 2), (10, "any", 3), (10, "reseller", 1), (30, "online", 2), (30, "any", 3)],
)
def test_customers_of_any_period_are_counted_once(project: Project, days: int, channel: str, customers: int) -> None:
    first = NOON.date() - days * DAY
    [(found,)] = project.query(
        f"select sum(customers)::bigint from dbt_prod.customers_by_day where channel = '{channel}'"
        f" and order_day >= '{first}' and (previous_order_day is null or previous_order_day < '{first}')"
    )
    assert found == customers


def test_a_chat_is_joined_to_an_order_that_arrives_later(project: Project) -> None:
    assert project.query("select country, channel, chats from dbt_prod.support_chats_by_day order by all") == [
        ("France", "online", 1),
        ("Unknown", "online", 1),
    ]


def test_a_full_build_gives_the_same_marts(project: Project) -> None:
    # Load the customers again; one of them has moved to another country.
    with duckdb.connect(str(project.path)) as connection:
        connection.execute("delete from adventure_db.customer_prod_db")
    moved = [customer(11000, "Canada"), customer(11001, "Germany")]
    stamp = project.next_stamp()
    project.insert("adventure_db.customer_prod_db", [{**row, "_loaded_at": stamp} for row in moved])
    project.load(orders=[order("last", customer_id=11001, sub_total=Decimal(1))], lines=[line("l1", "last")])
    project.build_models(*MODELS)
    in_increments = tables(project)
    assert any("Canada" in row for row in in_increments["sales_by_hour"])
    assert not any("France" in row for row in in_increments["sales_by_hour"])
    project.build_models("--full-refresh", *MODELS)
    assert in_increments == tables(project)


def test_the_latest_orders_are_listed_as_whole_days(project: Project) -> None:
    """The newest day is listed whole, though it has more orders than the limit; the days before it are not."""
    project.build_models("--select", "recent_orders", "recent_order_lines", "--vars", "{recent_orders: 3}")
    listed = [("last",), ("moves",), ("not-there-yet",), ("stays",)]
    assert project.query("select sales_order_id from dbt_prod.recent_orders order by all") == listed
    assert project.query("select distinct sales_order_id from dbt_prod.recent_order_lines order by all") == listed
