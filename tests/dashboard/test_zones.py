"""Days of a time zone: whole days also when clocks change, and the same figures as the orders at the source."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from adventure.dashboard.sales import metrics, over_time, to_date, zones
from adventure.dashboard.sales.scope import Scope
from adventure.destinations.published import Query
from tests.dashboard.conftest import COUNTRIES, Order, Shop

ZONES = ["Europe/Berlin", "America/New_York", "Asia/Tokyo", "Pacific/Auckland"]
YEAR = (date(2026, 1, 1), date(2026, 12, 31))


def local(moment: datetime, zone: str) -> datetime:
    return moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


@pytest.mark.parametrize("zone", [*ZONES, "UTC", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns"])
def test_the_local_time_of_every_half_hour_of_a_year(zone: str) -> None:
    found = duckdb.sql(
        f"select t, {zones.local_sql('t', zone, *YEAR)} as shown"
        " from (select timestamp '2025-12-31 10:00' + i * interval 30 minute as t from range(17520) as numbers (i))"
        f" where t >= timestamp '{zones.day_start(YEAR[0], zone)}'"
    ).fetchall()
    assert [shown for _, shown in found] == [local(moment, zone) for moment, _ in found]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Asia/Tokyo", date(2026, 3, 29), 24),
        ("UTC", date(2026, 3, 29), 24),
    ],
)
def test_a_day_has_all_its_hours_when_clocks_change(zone: str, day: date, hours: int) -> None:
    """One order an hour: each day has as many as hours, and each hour as many as it occurs."""
    connection = duckdb.connect()
    connection.execute(
        "create table sales_by_hour as select timestamp '2026-01-01' + i * interval 1 hour as order_hour,"
        " 'France' as country, 1::bigint as orders, 1 as revenue from range(9000) as numbers (i)"
    )

    def ask(statement: str, values: Any) -> Any:
        return connection.execute(statement, values).df()

    scope = Scope(day - timedelta(days=2), day + timedelta(days=2), zone=zone)
    later = datetime(2027, 1, 1)
    days = over_time.series(ask, scope, "country", "orders", "day", later)
    assert list(days["value"]) == [24, 24, hours, 24, 24]
    by_hour = over_time.series(ask, replace(scope, first=day, last=day), "country", "orders", "hour", later)
    start = zones.day_start(day, zone)
    clock = Counter(local(start + timedelta(hours=number), zone) for number in range(hours))
    assert dict(zip(by_hour["period"].tolist(), by_hour["value"].map(int), strict=True)) == clock
    end = datetime(day.year, day.month, day.day, 12)
    until_noon, yesterday, *_ = to_date.to_date(ask, scope, "orders", end, day, date(2026, 1, 1))["orders"]
    assert (until_noon, yesterday) == (hours - 12, 24)


@pytest.mark.parametrize("zone", ZONES)
def test_figures_of_local_days_equal_the_source(ask: Query, shop: Shop, now: datetime, zone: str) -> None:
    today = local(now, zone).date()
    scope = Scope(today - timedelta(days=50), today - timedelta(days=3), zone=zone)
    placed = [(local(order.order_date, zone), order) for order in shop.orders()]
    orders = [(moment, order) for moment, order in placed if scope.first <= moment.date() <= scope.last]
    found = metrics.total(ask, scope)
    assert (found.orders, found.revenue) == (len(orders), sum(order.sub_total for _, order in orders))
    days = over_time.series(ask, scope, "country", "revenue", "day", local(now, zone))
    assert days["value"].map(bool).sum() > 40
    assert amounts(days) == wanted(orders, by_hour=False)
    short = replace(scope, first=scope.last - timedelta(days=9))
    hours = over_time.series(ask, short, "country", "revenue", "hour", local(now, zone))
    within = [(moment, order) for moment, order in orders if moment.date() >= short.first]
    assert amounts(hours) == wanted(within, by_hour=True)


def amounts(rows: Any) -> dict[tuple[datetime, str], Decimal]:
    return {(row.period.to_pydatetime(), row.segment): row.value for row in rows.itertuples() if row.value}


def wanted(orders: list[tuple[datetime, Order]], *, by_hour: bool) -> dict[tuple[datetime, str], Decimal]:
    sums: dict[tuple[datetime, str], Decimal] = defaultdict(Decimal)
    for moment, order in orders:
        start = moment.replace(minute=0, second=0, microsecond=0, fold=0)
        sums[start if by_hour else start.replace(hour=0), COUNTRIES[order.territory_id]] += order.sub_total
    return dict(sums)


def test_sales_without_a_time_of_day_are_found(ask: Query) -> None:
    connection = duckdb.connect()
    connection.execute(
        "create table sales_by_hour as select unnest([timestamp '2013-01-01', timestamp '2013-05-02',"
        " timestamp '2026-03-01 09:00']) as order_hour"
    )
    assert metrics.dates_only_until(lambda statement, values: connection.execute(statement, values).df()) == date(
        2026, 3, 1
    )
    assert metrics.dates_only_until(ask) is None, "the history of the shop has times"


@pytest.fixture
def open_link(opened: Callable[..., Any]) -> Callable[..., Any]:
    return partial(opened, "from adventure.dashboard.sales import page\npage.show()")


def test_the_sales_page_shows_days_of_the_chosen_zone(open_link: Any, ask: Query, now: datetime) -> None:
    page = open_link(period="7d", zone="Pacific/Auckland")
    today = local(now, "Pacific/Auckland").date()
    scope = Scope(today - timedelta(days=6), today, zone="Pacific/Auckland")
    assert {card.label: card.value for card in page.metric}["Orders"] == f"{metrics.total(ask, scope).orders:,}"
    said = "\n".join(info.value.replace("\\", "") for info in page.info)
    assert "Revenue, orders and units are those of days in Pacific/Auckland. Customers, products," in said
    assert [caption.value for caption in page.caption].count("Days in UTC.") == 3


def test_a_zone_whose_days_begin_within_an_hour_says_what_is_shown(open_link: Any, ask: Query, now: datetime) -> None:
    page = open_link(period="7d", zone="Asia/Kolkata")
    said = "\n".join(info.value.replace("\\", "") for info in page.info)
    assert "This page shows days in UTC; the Orders page has those of Asia/Kolkata." in said
    today = local(now, "Asia/Kolkata").date()
    shown = metrics.total(ask, Scope(today - timedelta(days=6), today)).orders
    assert {card.label: card.value for card in page.metric}["Orders"] == f"{shown:,}"
