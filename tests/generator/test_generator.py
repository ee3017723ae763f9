"""Test the generated sales: distributions, sums, and repeatability."""

import random
import threading
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
from adventure.demo.generator.chats import advance_chat, open_chat
from adventure.demo.generator.orders import LINE_COLUMNS, ORDER_COLUMNS, OrderMaker, Sale
from adventure.demo.generator.pace import Pace
from adventure.demo.generator.plan import OUTAGE_TERRITORY, Plan, recent
from adventure.demo.generator.run import backfill, generate
from adventure.demo.generator.schema import create_tables
from adventure.demo.generator.shop import FIRST_ORDER_NUMBER

DAY = date(2026, 3, 2)


NOW = datetime(2026, 3, 3, 9, 30)
"""A moment on the day after DAY."""


def make(count: int, seed: int = 1) -> list[Sale]:
    """Return sales at all hours of DAY."""
    maker = OrderMaker(seed, FIRST_ORDER_NUMBER, DAY)
    dates = Plan(DAY).draw(random.Random(seed), datetime(2026, 3, 2), datetime(2026, 3, 3), count)
    return [maker.make(order_date, NOW) for order_date in dates]


def backfilled(count: int = 6000, days: int = 60, now: datetime = NOW) -> list[Sale]:
    """Return the sales of a backfill."""
    first = datetime(now.year, now.month, now.day) - timedelta(days=days - 1)
    maker = OrderMaker(1, FIRST_ORDER_NUMBER, now.date(), Plan(first.date(), today=now.date()))
    return [maker.make(order_date, now) for order_date in maker.plan.draw(maker.rng, first, now, count)]


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


@pytest.fixture(scope="module")
def story() -> list[Sale]:
    return backfilled()


def by_day(sales: list[Sale]) -> Counter[date]:
    return Counter(sale.order_date.date() for sale in sales)


def thirty_day_change(days: Counter[date], today: date) -> float:
    """Return the change that the dashboard shows: 29 finished days against the 29 days before the last 30."""
    now, before = (sum(days[today - timedelta(ago)] for ago in range(since, since + 29)) for since in (1, 31))
    return now / before - 1


@pytest.mark.parametrize("hour", [0, 9, 23])
def test_no_date_of_a_large_batch_is_in_the_future_or_long_ago(hour: int) -> None:
    rng, now = random.Random(1), datetime(2026, 3, 15, hour, 30)
    drawn = [recent(rng, now) for _ in range(2000)]
    assert max(drawn) <= now
    assert min(drawn) > now - timedelta(days=20)


def test_a_backfill_covers_each_day_up_to_now_with_numbers_in_the_order_of_dates(story: list[Sale]) -> None:
    found = [(int(sale.order_number.removeprefix("SO")), sale.order_date) for sale in story]
    assert found == sorted(found)
    assert len({sale.order_number for sale in story}) == len(by_day(story)) * 100 == 6000
    assert datetime(2026, 1, 3) <= story[0].order_date < story[-1].order_date <= NOW


def test_sales_have_a_weekly_and_a_daily_rhythm_and_grow(story: list[Sale]) -> None:
    # The campaign and the outage lie in the second half.
    first_half = [sale.order_date for sale in story if sale.order_date < datetime(2026, 2, 3)]
    weekdays = Counter(moment.weekday() for moment in first_half)
    assert min(weekdays[5], weekdays[6]) > 1.2 * max(weekdays[0], weekdays[1], weekdays[2])
    hours = Counter(moment.hour for moment in first_half)
    assert max(hours.values()) > 2 * min(hours.values()) > 0
    plan = Plan(DAY)
    assert plan.orders_on(DAY + timedelta(28)) / plan.orders_on(DAY) == pytest.approx(1.003**28)


def test_a_campaign_sells_clothing_for_a_week(story: list[Sale]) -> None:
    clothing = {product.product_id for product in sold_products() if product.category == "Clothing"}
    began, days = date(2026, 3, 3) - timedelta(20), by_day(story)
    for ago in range(7):
        day = began + timedelta(ago)
        usual = [sale for sale in story if sale.order_date.date() == day - timedelta(14)]
        during = [sale for sale in story if sale.order_date.date() == day]
        assert days[day] > 1.1 * days[day - timedelta(14)]
        assert share_of(during, clothing) > 1.5 * share_of(usual, clothing)


def share_of(sales: list[Sale], products: set[int]) -> float:
    return sum(sale.product_id in products for sale in sales) / len(sales)


def test_on_two_days_no_australian_could_pay(story: list[Sale]) -> None:
    ordered = Counter(
        (date(2026, 3, 3) - sale.order_date.date()).days
        for sale, order in ((each, fields(ORDER_COLUMNS, each.order)) for each in story)
        if order["online_order_flag"] == "1" and order["territory_id"] == str(OUTAGE_TERRITORY)
    )
    assert [ago for ago in range(1, 60) if not ordered[ago]] == [5, 6]
    assert min(ordered[ago] for ago in range(1, 60) if ago not in (5, 6)) >= 5


def test_the_dashboard_shows_a_believable_change_at_first_sight_and_after_25_minutes(story: list[Sale]) -> None:
    days, today = by_day(story), NOW.date()
    change = thirty_day_change(days, today)
    assert 0.05 < change < 0.25
    pace = Pace(Plan(date(2026, 1, 3), 85), timedelta(minutes=5), story[-1].order_date, days[today])
    live = [
        moment for batch in range(1, 301) for moment in pace.draw(random.Random(batch), NOW + timedelta(0, 5 * batch))
    ]
    # 25 minutes stand for 25 hours of business, at most; the day that is not over has them.
    assert 60 < len(live) < 160
    days.update(moment.date() for moment in live)
    assert thirty_day_change(days, today) == change
    assert days[today] < 2.5 * max(days[today - timedelta(7)], days[today - timedelta(14)])


def test_a_day_of_the_demo_stays_below_six_usual_days() -> None:
    pace, rng = Pace(Plan(DAY, 100), timedelta(minutes=5), None, 0), random.Random(1)
    begin = datetime(2026, 3, 4)
    for batch in range(24 * 3600 // 5):
        pace.draw(rng, begin + timedelta(seconds=5 * batch))
    assert 100 < pace.orders_today < 6 * pace.plan.orders_on(begin.date())


def test_the_first_batch_brings_the_usual_orders_of_the_time_without_a_generator() -> None:
    last = NOW - timedelta(days=3)
    pace = Pace(Plan(DAY, 100), timedelta(minutes=5), last, 0)
    caught_up = pace.draw(random.Random(1), NOW)
    assert len(caught_up) == pytest.approx(3 * 92, abs=60)
    assert last < caught_up[0] < caught_up[-1] <= NOW
    assert caught_up == sorted(caught_up)
    assert len(pace.draw(random.Random(1), NOW + timedelta(seconds=5))) <= 2


def test_customers_have_plausible_counts_of_orders(story: list[Sale]) -> None:
    counts = Counter(Counter(sale.customer_id for sale in story).values())
    assert set(counts) <= {1, 2, 3, 4}
    # Some people and many stores order again.
    assert 0.02 < counts[2] / counts[1] < 0.25


def test_reseller_orders_have_up_to_72_lines(sales: list[Sale]) -> None:
    counts = [len(sale.lines) for sale in sales if fields(ORDER_COLUMNS, sale.order)["online_order_flag"] == "0"]
    assert sum(count > 58 for count in counts) / len(counts) == pytest.approx(0.01, abs=0.003)
    assert 66 <= max(counts) <= 72


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


@pytest.mark.parametrize("pace", [0, 60])
def test_orders_are_shipped_on_their_ship_date_or_before(writer_settings: Settings, pace: float) -> None:
    backfill(writer_settings, orders=300, days=20, seed=1)
    settings = writer_settings.model_copy(update={"generation_pace": pace, "generation_interval_sec": 0.01})
    with psycopg.connect(settings.postgres_dsn) as connection:
        # A week passes for the orders in process: the oldest are due.
        connection.execute("update orders set ship_date = ship_date - interval '2 days' where status = 1")
    totals = generate(settings, seed=2, batches=2)
    (found,) = rows(
        settings,
        """
        select
            count(*) filter (where status = 5 and ship_date > now() at time zone 'utc') as shipped_in_the_future,
            count(*) filter (where status = 1 and ship_date < now() at time zone 'utc') as late,
            count(*) filter (where (status = 1) <> (revision_number = 7)) as unlike,
            count(*) filter (where status = 1) as in_process,
            count(*) filter (where ship_date < order_date or ship_date > due_date) as impossible
        from orders
        """,
    )
    assert totals.updated_orders > 0
    assert found.pop("in_process") > 50
    assert set(found.values()) == {0}


def test_a_paced_shop_goes_on_after_its_last_order(writer_settings: Settings) -> None:
    backfill(writer_settings, orders=1500, days=30, seed=1)
    settings = writer_settings.model_copy(update={"generation_pace": 60, "generation_interval_sec": 60})
    quick = threading.Event()
    quick.wait = lambda timeout=None: False  # type: ignore[method-assign]
    totals = generate(settings, seed=2, batches=5, stop=quick)
    # Five batches stand for five hours; the backfill has 50 orders a day.
    assert 1 <= totals.orders <= 60
    found = rows(settings, "select sales_order_number, order_date from orders order by order_date, 1")
    assert [row["sales_order_number"] for row in found] == [f"SO{75_124 + n}" for n in range(len(found))]


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
        # It leaves before its planned date.
        assert new["ship_date"] == new["last_modified"] < old["ship_date"]
        changes = {name: new[name] for name in ("status", "revision_number", "ship_date", "last_modified")}
        assert new == old | changes | {"status": 5, "revision_number": 8}


def test_chats_are_opened_and_worked_on(writer_settings: Settings) -> None:
    backfill(writer_settings, orders=1000, days=10, seed=1)
    totals = generate(writer_settings, seed=2, batches=3)
    assert 0 < totals.updated_chats <= 3 * (writer_settings.order_batch_size // 50)
    known = {str(row["sales_order_id"]) for row in rows(writer_settings, "select sales_order_id from orders")}
    chats = stored_chats(writer_settings)
    assert abs(len(chats) - len(known) / 50) <= 3
    for chat in chats:
        closed = chat["ticket_status"] == "Closed"
        assert chat["sales_order_id"] in known
        assert closed == (chat["customer_satisfaction_rating"] in (1, 2, 3, 4, 5)) == bool(chat["resolution"])
        assert chat["messages"][0]["sender"] == "customer"
        times = [chat["order_date"], *(message["sent_at"] for message in chat["messages"]), chat["last_modified"]]
        assert times == sorted(times)
    assert {"Open", "Closed"} <= {chat["ticket_status"] for chat in chats}


def stored_chats(settings: Settings) -> list[dict[str, Any]]:
    with pymongo.MongoClient[dict[str, Any]](settings.mongo_conninfo) as client:
        return list(client[settings.mongo_db][settings.mongo_collection].find())


def test_a_chat_that_is_answered_step_by_step_is_the_same_dialogue(writer_settings: Settings) -> None:
    backfill(writer_settings, orders=50, days=1, seed=1)
    begun: dict[Any, dict[str, Any]] = {}
    seen: Counter[str] = Counter()
    # With so few orders in a batch, more messages than chats are added.
    few = writer_settings.model_copy(update={"order_batch_size": 20})
    for batch in range(30):
        generate(few, seed=batch, batches=1)
        for chat in stored_chats(writer_settings):
            before = begun.get(chat["_id"], chat)
            assert chat["messages"][: len(before["messages"])] == before["messages"]
            begun[chat["_id"]] = chat
            seen[chat["ticket_status"]] += 1
    assert set(seen) == {"Open", "Pending", "Pending Customer Response", "Closed"}
    closed = [chat for chat in begun.values() if chat["ticket_status"] == "Closed"]
    assert all(
        [each["sender"] for each in chat["messages"]] == ["customer", "agent"] * 2 + ["customer"] for chat in closed
    )


def test_a_chat_of_an_earlier_version_is_closed(writer_settings: Settings) -> None:
    moment = datetime(2026, 3, 1)
    old = open_chat(random.Random(1), backfilled(1)[0], moment) | {"ticket_subject": "Battery life"}
    changes = advance_chat(old, moment)
    assert (changes["ticket_status"], changes["messages"][:1]) == ("Closed", old["messages"])


def test_during_the_outage_australians_write_that_they_cannot_pay(writer_settings: Settings) -> None:
    backfill(writer_settings, orders=2500, days=30, seed=1)
    chats = stored_chats(writer_settings)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    began, ended = midnight - timedelta(days=6), midnight - timedelta(days=4)
    complaints = [chat for chat in chats if "checkout rejects my card" in chat["ticket_description"]]
    assert len(complaints) >= 4
    territories = {customer.customer_id: customer.territory_id for customer in customers()}
    for chat in complaints:
        assert began <= chat["chat_start_time"] < ended
        assert territories[chat["customer_id"]] == OUTAGE_TERRITORY
        assert "Australia" in chat["resolution"]
    # The dashboard's satisfaction and its chats an order stay those of a shop.
    assert 0.015 < len(chats) / 2500 < 0.03


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
