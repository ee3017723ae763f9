"""The orders behind the figures equal the source's orders and lines, whatever is chosen and searched."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import psycopg
import pytest

from adventure.dashboard.sales import metrics, orders, zones
from adventure.dashboard.sales.orders import DIMENSIONS, Dimension, Selection
from adventure.dashboard.sales.scope import Scope
from adventure.destinations.published import Query
from tests.dashboard.conftest import CATEGORIES, COUNTRIES, HOSTILE, Shop
from tests.dashboard.harness import choose

LINES = """
    select o.sales_order_id::text, o.sales_order_number, o.customer_id::text, o.territory_id, o.online_order_flag = 1,
        o.sales_person_id, o.order_date at time zone 'UTC', o.sub_total, d.product_id, d.order_qty, d.line_total
    from orders as o
    inner join order_details as d on o.sales_order_id = d.sales_order_id
    where o.sub_total <> 'NaN'
"""


@dataclass(frozen=True)
class Line:
    """A line at the source, with its order."""

    order_id: str
    number: str
    customer_id: str
    territory_id: int
    online: bool
    sales_person_id: int | None
    placed: datetime
    sub_total: Decimal
    product_id: int
    units: int
    amount: Decimal
    customer: str
    product: str
    segments: dict[Dimension, str]


@pytest.fixture(scope="module")
def lines(shop: Shop) -> list[Line]:
    names, first_ids = shop.product_names(), shop.first_order_ids()
    customers = {
        str(key): (name, state)
        for key, name, state in shop.history(
            "select customerid, fullname, stateprovince from adventure_db.customer_prod_db"
        )
    }
    with psycopg.connect(shop.writer.postgres_dsn) as connection:
        rows = connection.execute(LINES).fetchall()
    found = []
    for row in rows:
        order_id, _, customer_id, territory, online, salesperson, *_, product, _, _ = row
        customer, state = customers[customer_id]
        segments: dict[Dimension, str] = {
            "country": COUNTRIES[territory],
            "state": state,
            "channel": "online" if online else "reseller",
            "salesperson": f"Salesperson {salesperson}" if salesperson else "No salesperson",
            "category": CATEGORIES[product],
            "product": names[product],
            "loyalty": "first-time" if order_id in first_ids else "repeat",
            "campaign": "none",
        }
        found.append(Line(*row, customer, names[product], segments))  # type: ignore[call-arg]
    return found


def matching(lines: list[Line], selection: Selection) -> list[Line]:
    """Return the lines that a selection means, line by line."""
    zone, text = ZoneInfo(selection.zone), selection.search.lower()
    containing = {line.order_id for line in lines if text in line.product.lower()}
    return [
        line
        for line in lines
        if selection.first <= line.placed.replace(tzinfo=ZoneInfo("UTC")).astimezone(zone).date() <= selection.last
        and all(line.segments[name] in values for name, values in selection.chosen.items() if values)
        and (
            text in line.number.lower()
            or text in line.customer.lower()
            or text == line.customer_id
            or line.order_id in containing
        )
    ]


def totals(lines: list[Line], selection: Selection, by: Dimension | None = None) -> orders.Total:
    """Return the amounts of lines where products are meant, else those of whole orders."""
    whole = {line.order_id: line.sub_total for line in lines}
    of_lines = selection.tables() == selection.tables("product") or by in ("category", "product")
    revenue = sum((line.amount for line in lines), Decimal(0)) if of_lines else sum(whole.values(), Decimal(0))
    return orders.Total(len(whole), sum(line.units for line in lines), revenue)


CHOICES: dict[str, dict[Dimension, tuple[str, ...]]] = {
    "everything": {},
    "a country": {"country": ("France",)},
    "a hostile country": {"country": (HOSTILE,)},
    "two states of a channel": {"channel": ("online",), "state": ("California", "Washington")},
    "a salesperson": {"channel": ("reseller",), "salesperson": ("Salesperson 279", "Salesperson 277")},
    "a category": {"category": ("Bikes",)},
    "returning customers who bought clothing": {"category": ("Clothing",), "loyalty": ("repeat",)},
    "two products": {"product": ("Touring Tube", "Bike Wash")},
}
SEARCHES: dict[str, Callable[[list[Line]], str]] = {
    "an order number": lambda lines: lines[7].number,
    "a part of a number": lambda lines: lines[7].number[2:5],
    "a customer": lambda lines: lines[40].customer.upper(),
    "a customer's id": lambda lines: lines[40].customer_id,
    "a product": lambda _: "road TIRE",
    "wildcards are text": lambda _: "%",
    "nothing": lambda _: "no such thing'; drop table recent_orders",
}


def selections(lines: list[Line], today: date) -> Iterator[Selection]:
    period = Selection(today - timedelta(days=75), today)
    for chosen in CHOICES.values():
        yield replace(period, chosen=chosen)
    for made in SEARCHES.values():
        yield replace(period, search=made(lines))
    yield replace(period, search="tire", chosen={"category": ("Accessories",)})


def test_totals_and_breakdowns_equal_the_source(ask: Query, lines: list[Line], now: datetime) -> None:
    sizes = []
    for selection in selections(lines, now.date()):
        wanted = matching(lines, selection)
        sizes.append(len(wanted))
        assert orders.total(ask, selection) == totals(wanted, selection), selection
        for by in DIMENSIONS if not selection.search else ("category", "state"):
            segments: dict[str, list[Line]] = defaultdict(list)
            for line in wanted:
                segments[line.segments[by]].append(line)
            found = orders.breakdown(ask, selection, by, "revenue")
            assert {
                segment: orders.Total(*amounts)
                for segment, *amounts in found[["segment", "orders", "units", "revenue"]].to_numpy().tolist()
            } == {name: totals(each, selection, by) for name, each in segments.items()}, (selection, by)
            assert list(found["revenue"]) == sorted(found["revenue"], reverse=True)
            assert found.empty or found["share"].sum() == pytest.approx(1)
    assert sizes.count(0) == 2, "only the searches for nothing find nothing"


def test_orders_and_lines_equal_the_source_page_by_page(ask: Query, lines: list[Line], now: datetime) -> None:
    for selection in selections(lines, now.date()):
        wanted = matching(lines, selection)
        whole: dict[str, list[Line]] = defaultdict(list)
        for line in wanted:
            whole[line.order_id].append(line)
        listed = orders.rows(ask, selection, "orders")
        assert sorted(zip(listed["sales_order_number"], listed["revenue"], listed["units"], strict=True)) == sorted(
            (each[0].number, totals(each, selection).revenue, sum(line.units for line in each))
            for each in whole.values()
        )
        sold = orders.rows(ask, selection, "lines")
        assert sorted(zip(sold["sales_order_number"], sold["product"], sold["revenue"], strict=True)) == sorted(
            (line.number, line.product, line.amount) for line in wanted
        )
        assert orders.total(ask, selection).orders == len(listed)
        assert orders.count_lines(ask, selection) == len(sold)
        for of, all_rows in (("orders", listed), ("lines", sold)):
            assert list(all_rows["order_date"]) == sorted(all_rows["order_date"], reverse=True)
            paged = [orders.rows(ask, selection, of, 700, 700 * page) for page in range(-(-len(all_rows) // 700))]  # type: ignore[arg-type]
            assert [row for page in paged for row in page.values.tolist()] == all_rows.values.tolist()


def test_a_hostile_product_is_found_by_its_text(ask: Query) -> None:
    years = Selection(date(2011, 1, 1), date(2014, 12, 31))
    by_name = orders.total(ask, replace(years, chosen={"product": (HOSTILE,)}))
    by_text = orders.total(ask, replace(years, search=HOSTILE[:80]))
    assert by_name.orders == by_text.orders > 0
    assert by_name.revenue < by_text.revenue, "the search finds whole orders"


@pytest.mark.parametrize("chosen", [{}, {"country": ("France",)}, {"channel": ("reseller",)}], ids=str)
def test_the_orders_page_has_the_figures_of_the_sales_page(ask: Query, chosen: dict[Any, Any], now: datetime) -> None:
    first, today = (metrics.bounds(ask) or (now.date(),))[0], now.date()
    for begin in (first, today - timedelta(days=6)):
        scope = Scope(begin, today, chosen.get("country", ()), chosen.get("channel", ()))
        sales, found = metrics.total(ask, scope), orders.total(ask, Selection(begin, today, chosen=chosen))
        assert (found.orders, found.units, found.revenue) == (sales.orders, sales.units, sales.revenue)
    products = metrics.top_products(ask, scope, "revenue")
    found_by = orders.breakdown(ask, Selection(begin, today, chosen=chosen), "product", "revenue")
    assert list(found_by["revenue"][: len(products)]) == list(products["revenue"])


@pytest.mark.parametrize(
    ("zone", "day", "start", "hours"),
    [
        ("UTC", date(2026, 3, 29), datetime(2026, 3, 29), 24),
        ("Europe/Berlin", date(2026, 3, 29), datetime(2026, 3, 28, 23), 23),
        ("Europe/Berlin", date(2026, 10, 25), datetime(2026, 10, 24, 22), 25),
        ("America/New_York", date(2026, 3, 8), datetime(2026, 3, 8, 5), 23),
        ("Asia/Kolkata", date(2026, 3, 8), datetime(2026, 3, 7, 18, 30), 24),
    ],
)
def test_days_of_a_zone_follow_its_clock_changes(zone: str, day: date, start: datetime, hours: int) -> None:
    """One order every half hour: a day has as many as its hours have halves, each on its local time."""
    connection = duckdb.connect()
    connection.execute(
        "create table recent_orders as select 15000 - i as recency, i::varchar as sales_order_id,"
        " 'SO' || i as sales_order_number,"
        " timestamp '2026-03-01' + i * interval 30 minute as order_date, 'A' as customer_name, '1' as customer_id,"
        " 'US' as country, 'X' as state_province, 'online' as channel, 'No salesperson' as salesperson,"
        " 'repeat' as loyalty, 'none' as campaign_segment, 1::bigint as units, 1::decimal(38, 9) as revenue"
        " from range(15000) as numbers (i)"
    )

    def ask(statement: str, values: Any) -> Any:
        return connection.execute(statement, values).df()

    selection = Selection(day, day, zone)
    assert zones.day_start(day, zone) == start
    assert orders.total(ask, selection).orders == 2 * hours
    shown = orders.rows(ask, selection, "orders")["order_date"]
    assert {moment.date() for moment in shown} == {day}
    assert shown.min() == datetime(day.year, day.month, day.day)
    assert shown.max() == datetime(day.year, day.month, day.day, 23, 30)
    before, after = (replace(selection, first=each, last=each) for each in (day - timedelta(1), day + timedelta(1)))
    whole = replace(selection, first=before.first, last=after.last)
    assert orders.total(ask, whole).orders == sum(orders.total(ask, each).orders for each in (before, selection, after))


@pytest.fixture
def open_link(opened: Callable[..., Any]) -> Callable[..., Any]:
    return partial(opened, "from adventure.dashboard.sales import orders_page\norders_page.show()")


def test_a_link_shows_the_chosen_orders_and_saves_exactly_these(open_link: Any, ask: Query, now: datetime) -> None:
    page = open_link(period="90d", category="Accessories", search="tire", list="lines", zone="Asia/Tokyo")
    today = now.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo("Asia/Tokyo")).date()
    selection = Selection(today - timedelta(days=89), today, "Asia/Tokyo", {"category": ("Accessories",)}, "tire")
    found = orders.total(ask, selection)
    assert {card.label: card.value for card in page.metric}["Orders"] == f"{found.orders:,}"
    wanted = orders.rows(ask, selection, "lines")
    shown = page.dataframe[-1].value
    assert list(shown["sales_order_number"]) == list(wanted["sales_order_number"])[: len(shown)]
    for control in page.button_group:
        # The harness always treats the selection as a list, even for controls with a single choice.
        choose(control, page.session_state[control.key])
    page.button(key="older").click().run()
    following = page.dataframe[-1].value
    assert list(following["sales_order_number"]) == list(wanted["sales_order_number"])[25:50]
    assert "This link" not in "\n".join(warning.value for warning in page.warning)


def test_a_link_with_an_unknown_state_or_zone_says_so(open_link: Any) -> None:
    page = open_link(state="Atlantis", zone="Mars/Olympus")
    said = "\n".join(warning.value.replace("\\", "") for warning in page.warning)
    assert "This link asks for state “Atlantis”, which has no sales. Shown: all." in said
    assert "This link asks for zone “Mars/Olympus”, but zone can only be UTC" in said


def test_a_period_before_the_listed_orders_says_from_when_they_are(ask: Query) -> None:
    """Where not all orders are listed: the first day in a zone is the first whole one."""
    connection = duckdb.connect()
    connection.execute("create table sales_by_hour as select timestamp '2011-05-31' as order_hour")
    connection.execute("create table recent_orders as select timestamp '2026-03-01 00:10' as order_date")

    def listed(statement: str, values: Any) -> Any:
        return connection.execute(statement, values).df()

    assert orders.listed_from(ask, "UTC") is None
    assert orders.listed_from(listed, "UTC") == date(2026, 3, 1)
    assert orders.listed_from(listed, "America/New_York") == date(2026, 3, 1)
    assert orders.listed_from(listed, "Asia/Tokyo") == date(2026, 3, 2)
