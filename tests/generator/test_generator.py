"""Test the generated sales: distributions, sums, and repeatability."""

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pymongo
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr

from adventure.core import connect
from adventure.core.errors import SourceRefused, SourceUnavailable
from adventure.core.settings import Settings
from adventure.demo.catalogue import customers, sold_products
from adventure.demo.generator import dates
from adventure.demo.generator.orders import LINE_COLUMNS, ORDER_COLUMNS, OrderMaker, Sale
from adventure.demo.generator.run import FIRST_ORDER_NUMBER, backfill, generate
from adventure.demo.generator.schema import create_tables

DAY = date(2026, 3, 2)


def make(count: int, seed: int = 1) -> list[Sale]:
    maker = OrderMaker(seed, FIRST_ORDER_NUMBER, DAY)
    return [maker.make(datetime(2026, 3, 2, 12), "2026-03-02 12:00:00") for _ in range(count)]


def fields(columns: tuple[str, ...], line: str) -> dict[str, str | None]:
    """Return a line of COPY text as a dictionary."""
    return {name: None if text == "\\N" else text for name, text in zip(columns, line.split("\t"), strict=True)}


@pytest.fixture(scope="module")
def sales() -> list[Sale]:
    return make(10_000)


@pytest.fixture(scope="module")
def orders(sales: list[Sale]) -> list[dict[str, str | None]]:
    return [fields(ORDER_COLUMNS, sale.order) for sale in sales]


@pytest.mark.parametrize(
    ("column", "share", "tolerance"),
    [
        ("credit_card_id", 0.966, 0.01),
        ("credit_card_approval_code", 0.966, 0.01),
        ("currency_rate_id", 0.44, 0.01),
        ("purchase_order_number", 0.121, 0.01),
        ("sales_person_id", 0.121, 0.01),
        ("comment", 0, 0),
        ("order_date", 1, 0),
    ],
)
def test_shares_that_are_not_null(
    orders: list[dict[str, str | None]], column: str, share: float, tolerance: float
) -> None:
    found = sum(order[column] is not None for order in orders) / len(orders)
    assert abs(found - share) <= tolerance


def test_lines_per_order(sales: list[Sale]) -> None:
    assert abs(sum(len(sale.lines) for sale in sales) / len(sales) - 3.83) <= 0.1


def test_small_batches_have_the_shares_too(orders: list[dict[str, str | None]]) -> None:
    for begin in range(0, len(orders), 200):
        online = sum(order["online_order_flag"] == "1" for order in orders[begin : begin + 200])
        assert 170 <= online <= 182


def test_null_columns_depend_on_the_channel(orders: list[dict[str, str | None]]) -> None:
    for order in orders:
        online = order["online_order_flag"] == "1"
        assert (order["purchase_order_number"] is None, order["sales_person_id"] is None) == (online, online)
        assert (order["credit_card_id"] is None) == (order["credit_card_approval_code"] is None)
        assert (order["account_number"] or "").startswith("10-4030-" if online else "10-4020-000")


def test_geography_follows_the_territories(orders: list[dict[str, str | None]]) -> None:
    country_of = {customer.customer_id: customer.country for customer in customers()}
    found = Counter(country_of[int(order["customer_id"] or 0)] for order in orders)
    for country, share in (("United States", 0.383), ("Australia", 0.218), ("Canada", 0.129), ("Germany", 0.083)):
        assert abs(found[country] / len(orders) - share) < 0.02


def test_an_order_has_distinct_products_that_are_on_sale(sales: list[Sale]) -> None:
    on_sale = {product.product_id: product for product in sold_products() if product.on_sale(DAY)}
    for sale in sales:
        lines = [fields(LINE_COLUMNS, line) for line in sale.lines]
        ids = [int(line["product_id"] or 0) for line in lines]
        assert len(set(ids)) == len(ids)
        assert set(ids) <= set(on_sale)
        assert all(line["carrier_tracking_number"] for line in lines)


def test_online_orders_have_single_units_at_list_price_and_no_components(sales: list[Sale]) -> None:
    by_id = {product.product_id: product for product in sold_products()}
    for sale in sales:
        if fields(ORDER_COLUMNS, sale.order)["online_order_flag"] == "1":
            for line in (fields(LINE_COLUMNS, text) for text in sale.lines):
                product = by_id[int(line["product_id"] or 0)]
                assert (line["order_qty"], Decimal(line["unit_price"] or 0)) == ("1", product.list_price)
                assert product.category != "Components"


def test_the_same_seed_gives_the_same_sales() -> None:
    assert make(50, seed=9) == make(50, seed=9)
    assert make(50, seed=9) != make(50, seed=10)


@pytest.mark.parametrize("hour", [0, 9, 23])
def test_no_date_is_in_the_future_or_before_the_first_day(hour: int) -> None:
    rng, now = random.Random(1), datetime(2026, 3, 15, hour, 30)
    spread = [dates.spread(rng, now, 30) for _ in range(2000)]
    assert max(spread) <= now
    assert min(spread) >= datetime(2026, 2, 14)
    assert len({moment.date() for moment in spread}) >= 29
    recent = [dates.recent(rng, now) for _ in range(2000)]
    assert max(recent) <= now
    assert min(recent) > now - timedelta(days=20)


def rows(settings: Settings, query: str) -> list[dict[str, Any]]:
    with psycopg.connect(settings.postgres_dsn, row_factory=dict_row) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


def test_sums_add_up_in_the_database(writer_settings: Settings) -> None:
    totals = backfill(writer_settings, orders=1500, days=30, seed=1)
    found = rows(
        writer_settings,
        """
        select o.sub_total, o.tax_amt, o.freight, o.total_due, sum(d.line_total) as lines,
            sum(d.order_qty * d.unit_price * (1 - d.unit_price_discount)) as computed, count(*) as count
        from orders as o join order_details as d using (sales_order_id) group by o.sales_order_id
        """,
    )
    assert (len(found), sum(order["count"] for order in found)) == (totals.orders, totals.lines) == (1500, totals.lines)
    for order in found:
        assert order["sub_total"] == order["lines"] == order["computed"]
        assert order["total_due"] == order["sub_total"] + order["tax_amt"] + order["freight"]


def test_dates_and_cursor_of_a_backfill(writer_settings: Settings) -> None:
    before = datetime.now(UTC).replace(tzinfo=None)
    backfill(writer_settings, orders=300, days=10, seed=1)
    (found,) = rows(
        writer_settings,
        """
        select min(order_date) as first, max(order_date) as last, min(last_modified) as cursor,
            bool_and(ship_date = order_date + interval '7 days' and due_date = order_date + interval '12 days') as dated
        from orders
        """,
    )
    assert found["dated"]
    assert before - timedelta(days=10) <= found["first"] <= found["last"] <= datetime.now(UTC).replace(tzinfo=None)
    assert found["cursor"] >= before - timedelta(seconds=1)


def test_the_generator_starts_without_waiting_for_writers(writer_settings: Settings) -> None:
    backfill(writer_settings, orders=1, days=1, seed=1)
    with psycopg.connect(writer_settings.postgres_dsn, autocommit=True) as connection:
        # Turn a wait for a lock into an error instead of a hanging test.
        connection.execute("alter role sales_app set lock_timeout = '2s'")
        with connection.transaction():
            connection.execute("update orders set status = status")
            create_tables(writer_settings)
        connection.execute("alter role sales_app reset lock_timeout")


def test_a_restart_continues_the_order_numbers(writer_settings: Settings) -> None:
    for _ in range(2):
        generate(writer_settings, seed=5, batches=1)
    numbers = [row["sales_order_number"] for row in rows(writer_settings, "select * from orders order by 5")]
    assert numbers == [f"SO{FIRST_ORDER_NUMBER + index}" for index in range(2 * writer_settings.order_batch_size)]


def test_batches_ship_earlier_orders_and_move_their_cursor(writer_settings: Settings) -> None:
    generate(writer_settings, seed=5, batches=1)
    before = {row["sales_order_id"]: row for row in rows(writer_settings, "select * from orders where status = 1")}
    totals = generate(writer_settings, seed=6, batches=1)
    changed = [
        (before[row["sales_order_id"]], row)
        for row in rows(writer_settings, "select * from orders where status = 5")
        if row["sales_order_id"] in before
    ]
    assert len(changed) == totals.updated_orders > 0
    for old, new in changed:
        assert new["last_modified"] > old["last_modified"]
        assert new == old | {"status": 5, "revision_number": 8, "last_modified": new["last_modified"]}


def test_chats_are_opened_and_worked_on(writer_settings: Settings) -> None:
    backfill(writer_settings, orders=1000, days=10, seed=1)
    totals = generate(writer_settings, seed=2, batches=3)
    assert 0 < totals.updated_chats <= 3 * (writer_settings.order_batch_size // 50)
    known = {str(row["sales_order_id"]) for row in rows(writer_settings, "select sales_order_id from orders")}
    with pymongo.MongoClient[dict[str, Any]](writer_settings.mongo_conninfo) as client:
        chats = list(client[writer_settings.mongo_db][writer_settings.mongo_collection].find())
    assert abs(len(chats) - len(known) / 50) <= 3
    for chat in chats:
        closed = chat["ticket_status"] == "Closed"
        assert chat["sales_order_id"] in known
        assert closed == (chat["customer_satisfaction_rating"] in (1, 2, 3, 4, 5)) == bool(chat["resolution"])
        assert chat["messages"][0]["sender"] == "customer"
    assert {"Open", "Closed"} <= {chat["ticket_status"] for chat in chats}


def test_a_wrong_password_error_does_not_show_the_password(writer_settings: Settings) -> None:
    wrong = writer_settings.model_copy(update={"postgres_password": SecretStr("hunter2")})
    with pytest.raises(SourceRefused, match=r"user sales_app\) refuses: .*password authentication failed") as caught:
        generate(wrong, batches=1)
    assert "hunter2" not in str(caught.value)


def test_an_unreachable_server_is_retried_and_then_a_one_sentence_error(
    writer_settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(connect, "RETRY_FOR_SEC", 1.0)
    nobody = writer_settings.model_copy(update={"postgres_port": 1})
    with pytest.raises(SourceUnavailable, match=r"PostgreSQL at 127\.0\.0\.1:1, .* does not answer: "):
        generate(nobody, batches=1)
    assert "Trying again" in capsys.readouterr().out
