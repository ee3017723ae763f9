"""Compare the dashboard's metrics with values recomputed from the source databases."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from adventure.dashboard.sales import campaign_metrics, metrics, over_time, support_metrics
from adventure.dashboard.sales.metrics import MEASURES, Measure, Segment
from adventure.dashboard.sales.scope import Grain, Scope, default_grain, possible_grains
from adventure.destinations.published import Query
from tests.dashboard.conftest import CATEGORIES, COUNTRIES, Order, Shop

SCOPES: dict[str, dict[str, Any]] = {
    "the last 30 days": {"days": 30},
    "a week": {"days": 7},
    "one country": {"days": 30, "countries": ("France",)},
    "two countries, one channel": {"days": 45, "countries": ("Canada", "United States"), "channels": ("reseller",)},
    "one channel": {"days": 30, "channels": ("online",)},
    "both channels": {"days": 30, "channels": ("online", "reseller")},
    "days that are over": {"days": 20, "ends": 10},
}


@pytest.fixture(scope="module")
def orders(shop: Shop) -> list[Order]:
    return shop.orders()


@pytest.fixture(scope="module")
def first_ids(shop: Shop) -> set[str]:
    return shop.first_order_ids()


@pytest.fixture(params=list(SCOPES))
def scope(request: pytest.FixtureRequest, now: datetime) -> Scope:
    chosen = dict(SCOPES[request.param])
    last = now.date() - timedelta(days=chosen.pop("ends", 0))
    return Scope(last - timedelta(days=chosen.pop("days") - 1), last, **chosen)


def channel(order: Order) -> str:
    return "online" if order.online else "reseller"


def within(orders: Iterable[Order], scope: Scope) -> list[Order]:
    return [
        order
        for order in orders
        if scope.first <= order.order_date.date() <= scope.last
        and (not scope.countries or COUNTRIES[order.territory_id] in scope.countries)
        and (not scope.channels or channel(order) in scope.channels)
    ]


def units(order: Order) -> int:
    return sum(quantity for _, quantity, _ in order.lines)


def total(orders: list[Order]) -> metrics.Total:
    return metrics.Total(
        len(orders),
        sum(units(order) for order in orders),
        sum((order.sub_total for order in orders), Decimal(0)),
        len({order.customer_id for order in orders}),
    )


VALUE: dict[Measure, Callable[[Order], Decimal | int]] = {
    "revenue": lambda order: order.sub_total,
    "orders": lambda _: 1,
    "units": units,
}


def by_segment(orders: list[Order], segment: Segment, measure: Measure, first_ids: set[str]) -> dict[str, Decimal]:
    """Return the measure of each segment, summed order by order."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for order in orders:
        if segment == "category":
            lines: dict[str, list[tuple[int, Decimal]]] = defaultdict(list)
            for product, quantity, amount in order.lines:
                lines[CATEGORIES[product]].append((quantity, amount))
            for category, sold in lines.items():
                sums[category] += {
                    "revenue": sum((amount for _, amount in sold), Decimal(0)),
                    "orders": Decimal(1),
                    "units": Decimal(sum(quantity for quantity, _ in sold)),
                }[measure]
            continue
        name = {
            "country": COUNTRIES[order.territory_id],
            "channel": channel(order),
            "loyalty": "first-time" if order.order_id in first_ids else "repeat",
            "campaign": "none",
        }[segment]
        sums[name] += VALUE[measure](order)
    return dict(sums)


def test_headlines(ask: Query, orders: list[Order], scope: Scope) -> None:
    assert metrics.total(ask, scope) == total(within(orders, scope))


def test_changes_compare_days_that_are_over(ask: Query, orders: list[Order], scope: Scope, now: datetime) -> None:
    ends = min(scope.last, now.date() - timedelta(days=1))
    length = timedelta(days=scope.days)
    then = Scope(scope.first - length, ends - length, scope.countries, scope.channels)
    current = total(within(orders, Scope(scope.first, ends, scope.countries, scope.channels)))
    before = total(within(orders, then))
    totals = metrics.compared_totals(ask, scope, now.date())
    for name in ("revenue", "orders", "units", "customers", "average_order"):
        found = metrics.metric_change(totals, lambda t, name=name: getattr(t, name))  # type: ignore[misc]
        assert found == pytest.approx(float(getattr(current, name) / getattr(before, name)) - 1), name


@pytest.mark.parametrize("segment", list(metrics.SEGMENTS))
@pytest.mark.parametrize("measure", list(MEASURES))
def test_the_chart_adds_up_to_each_segment(
    ask: Query,
    first_ids: set[str],
    orders: list[Order],
    scope: Scope,
    now: datetime,
    segment: Segment,
    measure: Measure,
) -> None:
    rows = over_time.series(ask, scope, segment, measure, default_grain(scope.days), now)
    shown = rows.groupby("segment")["value"].sum().to_dict()
    assert shown == by_segment(within(orders, scope), segment, measure, first_ids)


@pytest.mark.parametrize("grain", ["hour", "day", "week", "month"])
def test_every_point_of_the_chart(ask: Query, orders: list[Order], scope: Scope, now: datetime, grain: Grain) -> None:
    rows = over_time.series(ask, scope, "country", "revenue", grain, now)
    expected: dict[tuple[datetime, str], Decimal] = defaultdict(Decimal)
    for order in within(orders, scope):
        hour = order.order_date.replace(minute=0, second=0, microsecond=0)
        day = hour.replace(hour=0)
        period = {"hour": hour, "day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[
            grain
        ]
        expected[period, COUNTRIES[order.territory_id]] += order.sub_total
    shown = {
        (period.to_pydatetime(), segment): value
        for period, segment, value in rows[["period", "segment", "value"]].itertuples(index=False, name=None)
    }
    assert {key: value for key, value in shown.items() if value} == dict(expected)
    # Every period and segment has a value; no sales are zero.
    periods = sorted({period for period, _ in shown})
    assert len(shown) == len(periods) * len({segment for _, segment in shown})
    steps = {
        "hour": {timedelta(hours=1)},
        "day": {timedelta(days=1)},
        "week": {timedelta(days=7)},
        "month": {timedelta(days=days) for days in range(28, 32)},
    }[grain]
    assert {late - early for early, late in itertools.pairwise(periods)} <= steps
    assert periods[-1] <= now < periods[-1] + max(steps) or scope.last < now.date()


def test_what_drives_the_change(
    ask: Query, first_ids: set[str], orders: list[Order], scope: Scope, now: datetime
) -> None:
    rows = metrics.contributions(ask, scope, "loyalty", "revenue", now.date())
    compared = scope.compared(now.date())
    assert compared is not None
    now_by, before_by = (by_segment(within(orders, each), "loyalty", "revenue", first_ids) for each in compared)
    assert dict(zip(rows["segment"], rows["change"], strict=True)) == {
        name: now_by.get(name, Decimal(0)) - before_by.get(name, Decimal(0)) for name in now_by.keys() | before_by
    }
    assert list(rows["change"]) == sorted(rows["change"], reverse=True)


@pytest.mark.parametrize("measure", list(MEASURES))
def test_top_products(ask: Query, shop: Shop, orders: list[Order], scope: Scope, measure: Measure) -> None:
    sums: dict[int, list[Any]] = defaultdict(lambda: [Decimal(0), set(), 0])
    for order in within(orders, scope):
        for product, quantity, amount in order.lines:
            sums[product][0] += amount
            sums[product][1].add(order.order_id)
            sums[product][2] += quantity
    sold = {key: {"revenue": r, "orders": len(o), "units": u} for key, (r, o, u) in sums.items()}
    ranked = sorted(sold, key=lambda key: (-sold[key][measure], str(key)))[:10]
    names = shop.product_names()
    rows = metrics.top_products(ask, scope, measure)
    assert [list(row) for row in rows[["product", "revenue", "orders", "units"]].to_numpy()] == [
        [names[key], *sold[key].values()] for key in ranked
    ]
    whole = sum(product[measure] for product in sold.values())
    assert list(rows["share"]) == pytest.approx([float(sold[key][measure] / whole) for key in ranked])


@pytest.mark.parametrize("measure", list(MEASURES))
def test_countries_and_channels(ask: Query, orders: list[Order], scope: Scope, measure: Measure) -> None:
    expected: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for order in within(orders, scope):
        expected[COUNTRIES[order.territory_id], channel(order)] += VALUE[measure](order)
    wide = metrics.country_by_channel(ask, scope, measure)
    cells = {(country, name): wide.loc[country, name] for country in wide.index for name in wide.columns[:-2]}
    assert {key: value for key, value in cells.items() if value} == dict(expected)
    assert wide["Total"].sum() == sum(expected.values())
    assert wide["Share"].sum() == pytest.approx(1)


def test_support_chats(ask: Query, shop: Shop, orders: list[Order], scope: Scope) -> None:
    by_id = {order.order_id: order for order in orders}
    chats: list[dict[str, Any]] = []
    for chat in shop.chats():
        order = by_id[str(chat["sales_order_id"])]
        in_filters = within([order], Scope(date(1, 1, 1), date(9999, 1, 1), scope.countries, scope.channels))
        if in_filters and scope.first <= chat["chat_start_time"].date() <= scope.last:  # type: ignore[attr-defined]
            chats.append(chat)
    ratings = [chat["customer_satisfaction_rating"] for chat in chats if chat["customer_satisfaction_rating"]]
    ended = [
        int((chat["chat_completion_time"] - chat["chat_start_time"]).total_seconds() // 60)
        for chat in chats
        if chat["chat_completion_time"]
    ]
    answered = [
        min(int((m["sent_at"] - chat["chat_start_time"]).total_seconds() // 60) for m in agents)
        for chat in chats
        if (agents := [m for m in chat["messages"] if m["sender"] == "agent"])
    ]
    found = support_metrics.chats(ask, scope)
    assert found.chats == len(chats)
    assert found.satisfaction == (pytest.approx(sum(ratings) / len(ratings)) if ratings else None)
    assert found.resolution_hours == (pytest.approx(sum(ended) / len(ended) / 60) if ended else None)
    assert found.first_response_minutes == (pytest.approx(sum(answered) / len(answered)) if answered else None)


def test_sparklines_leave_out_today(ask: Query, orders: list[Order], scope: Scope, now: datetime) -> None:
    line = over_time.sparkline(ask, scope, now.date())
    for day, row in line.iterrows():
        that = total(within(orders, Scope(day.date(), day.date(), scope.countries, scope.channels)))  # type: ignore[attr-defined]
        assert (row["orders"], row["customers"], row["units"]) == (that.orders, that.customers, that.units)
        assert row["revenue"] == that.revenue
        assert row["average_order"] == that.average_order.quantize(Decimal("0.01"))
    assert line.index.max().date() == min(scope.last, now.date() - timedelta(days=1))


def test_the_sparkline_of_all_history_has_a_point_a_month(ask: Query, now: datetime) -> None:
    first, last = date(2011, 5, 31), now.date()
    line = over_time.sparkline(ask, Scope(first, last), last)
    assert list(line.index) == list(pd.date_range("2011-05-01", last, freq="MS"))
    whole = metrics.total(ask, Scope(first, last))
    assert line["orders"].sum() == whole.orders
    assert line["revenue"].sum() == whole.revenue


def test_march_2013_matches_the_raw_history(ask: Query, shop: Shop, now: datetime) -> None:
    march = Scope(date(2013, 3, 1), date(2013, 3, 31))
    [(orders, customers, revenue)] = shop.history(
        "select count(*), count(distinct raw->>'CustomerID'), sum((raw->>'SubTotal')::decimal(38, 9))"
        " from ecom.sales_order_raw where (raw->>'OrderDate') like '2013-03-%'"
    )
    found = metrics.total(ask, march)
    assert (found.orders, found.customers, found.revenue) == (orders, customers, revenue)
    assert over_time.series(ask, march, "category", "units", "day", now)["value"].sum() == found.units
    assert metrics.bounds(ask) == (date(2011, 5, 31), max(order.order_date.date() for order in shop.orders()))


def test_campaigns_convert_each_order_once(ask: Query, shop: Shop) -> None:
    rows = campaign_metrics.campaigns(ask, Scope(date(2011, 1, 1), date(2014, 12, 31)))
    [(orders, revenue)] = shop.history(
        """
        with events as (
            select raw->>'order_id' as order_id from ecom.email_campaign_raw where raw->>'event_type' = 'conversion'
            union
            select raw->>'orderId' from new_mktg.email_mktg_raw where lower(raw->>'eventType') = 'conversion'
        )
        select count(*), sum((o.raw->>'SubTotal')::decimal(38, 9))
        from ecom.sales_order_raw as o
        where o.raw->>'SalesOrderID' in (select order_id from events)
        """
    )
    assert (rows["converted"].sum(), rows["revenue"].sum()) == (orders, revenue)
    assert len(rows) == len(rows[["segment", "category", "strategy"]].drop_duplicates())
    assert (rows["conversion_rate"] <= 1).all()


def test_the_funnel_adds_up_all_campaigns(ask: Query) -> None:
    rows = campaign_metrics.campaigns(ask, Scope(date(2011, 1, 1), date(2014, 12, 31)))
    steps = campaign_metrics.funnel(rows)
    opened, clicked, into_cart, converted = (
        int(rows[name].sum()) for name in ("opened", "clicked", "into_cart", "converted")
    )
    assert list(steps["events"]) == [opened, clicked, into_cart, converted]
    assert list(steps["share"][1:]) == [clicked / opened, into_cart / clicked, converted / into_cart]
    assert campaign_metrics.funnel(rows[:0])["share"].isna().all()


@pytest.mark.parametrize(
    ("days", "grain", "possible"),
    [
        (1, "hour", ["hour"]),
        (3, "hour", ["hour", "day"]),
        (30, "day", ["hour", "day", "week"]),
        (400, "week", ["day", "week", "month"]),
        (5000, "month", ["week", "month"]),
    ],
)
def test_the_grain_suits_the_days(days: int, grain: Grain, possible: list[Grain]) -> None:
    assert (default_grain(days), possible_grains(days)) == (grain, possible)
    assert grain in possible


def test_today_alone_has_nothing_to_compare_with(ask: Query, now: datetime) -> None:
    today = Scope(now.date(), now.date())
    assert today.compared(now.date()) is None
    assert metrics.compared_totals(ask, today, now.date()) is None
    assert metrics.contributions(ask, today, "country", "orders", now.date()).empty


def test_the_days_before_the_first_sale_are_no_comparison(ask: Query, now: datetime) -> None:
    first, last = metrics.bounds(ask) or (now.date(), now.date())
    whole = Scope(first, last)
    assert metrics.compared_totals(ask, whole, now.date(), first) is None
    assert metrics.contributions(ask, whole, "country", "orders", now.date(), first).empty
    begun = Scope(first + timedelta(days=10), first + timedelta(days=19))
    compared = metrics.compared_totals(ask, begun, now.date(), first)
    assert metrics.metric_change(compared, lambda t: t.orders) is not None


def test_a_period_without_sales_is_empty_everywhere(ask: Query, now: datetime) -> None:
    nothing = Scope(date(2016, 1, 1), date(2016, 1, 31))
    assert metrics.total(ask, nothing) == metrics.Total(0, 0, Decimal(0), 0)
    assert over_time.series(ask, nothing, "country", "orders", "day", now).empty
    assert metrics.top_products(ask, nothing, "units").empty
    assert metrics.country_by_channel(ask, nothing, "units").empty
    assert campaign_metrics.campaigns(ask, nothing).empty
    assert support_metrics.chats(ask, nothing) == support_metrics.Chats(0, None, None, None)


def test_the_table_under_the_chart_holds_every_value_and_their_sum(ask: Query, scope: Scope, now: datetime) -> None:
    rows = over_time.series(ask, scope, "channel", "revenue", "day", now)
    wide = over_time.table(rows)
    assert wide["Total"].sum() == metrics.total(ask, scope).revenue
    assert list(wide.index) == sorted(wide.index, reverse=True)


def test_every_metric_has_a_description_from_dbt(ask: Query) -> None:
    texts = metrics.descriptions(ask)
    wanted = [
        ("sales_by_hour", name) for name in ("revenue", "orders", "average_order", "units", "change", "contribution")
    ]
    wanted += [("category_sales_by_hour", name) for name in MEASURES]
    wanted += [("product_sales_by_day", name) for name in MEASURES]
    wanted += [("customers_by_day", "customers"), ("campaign_events_by_day", "conversion_rate")]
    names = ("chats", "chats_per_100_orders", "satisfaction", "resolution_hours", "first_response_minutes")
    wanted += [("support_chats_by_day", name) for name in names]
    assert [key for key in wanted if not texts.get(key)] == []
    assert not any(text.startswith("{{") for text in texts.values())
