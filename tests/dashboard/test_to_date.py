"""Today and the spans to date, compared with the orders at the source."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from adventure.dashboard.sales import to_date as spans
from adventure.dashboard.sales.metrics import Measure
from adventure.dashboard.sales.scope import Scope
from adventure.destinations.published import Query
from tests.dashboard.conftest import COUNTRIES, Shop

ANY = Scope(date(2026, 1, 1), date(2026, 1, 1))


@pytest.mark.parametrize(
    ("moment", "months", "before"),
    [
        (datetime(2026, 3, 15, 9), 1, datetime(2026, 2, 15, 9)),
        (datetime(2026, 3, 31, 9), 1, datetime(2026, 3, 1)),
        (datetime(2026, 1, 15), 1, datetime(2025, 12, 15)),
        (datetime(2024, 2, 29, 9), 12, datetime(2023, 3, 1)),
        (datetime(2025, 2, 28, 9), 12, datetime(2024, 2, 28, 9)),
        (datetime(2026, 5, 31), 3, datetime(2026, 3, 1)),
    ],
)
def test_the_same_time_some_months_before(moment: datetime, months: int, before: datetime) -> None:
    assert spans.months_before(moment, months) == before


def test_nothing_has_begun_when_reading_stopped_before_new_year() -> None:
    def ask(*_: Any) -> pd.DataFrame:
        raise AssertionError("nothing to ask")

    rows = spans.to_date(ask, ANY, "revenue", datetime(2026, 12, 31, 23), date(2027, 1, 5), date(2026, 1, 1))
    assert rows.empty
    assert list(rows) == ["period", "revenue", "before", "change", "last_year", "change_last_year"]


def test_each_span_and_what_it_is_compared_with() -> None:
    found = {span.name: span for span in spans.spans(datetime(2026, 8, 20, 15), date(2026, 8, 20))}
    texts = {
        name: [" to ".join(f"{moment:%Y-%m-%d %H}" for moment in each) if each else "" for each in
               (span.shown, span.before, span.last_year)]
        for name, span in found.items()
    }  # fmt: skip
    assert texts == {
        "Today so far": [
            "2026-08-20 00 to 2026-08-20 15", "2026-08-13 00 to 2026-08-13 15", "2025-08-21 00 to 2025-08-21 15",
        ],
        "Yesterday": [
            "2026-08-19 00 to 2026-08-20 00", "2026-08-12 00 to 2026-08-13 00", "2025-08-20 00 to 2025-08-21 00",
        ],
        "Week to date": [
            "2026-08-17 00 to 2026-08-20 15", "2026-08-10 00 to 2026-08-13 15", "2025-08-18 00 to 2025-08-21 15",
        ],
        "Month to date": [
            "2026-08-01 00 to 2026-08-20 15", "2026-07-01 00 to 2026-07-20 15", "2025-08-01 00 to 2025-08-20 15",
        ],
        "Quarter to date": [
            "2026-07-01 00 to 2026-08-20 15", "2026-04-01 00 to 2026-05-20 15", "2025-07-01 00 to 2025-08-20 15",
        ],
        "Year to date": ["2026-01-01 00 to 2026-08-20 15", "", "2025-01-01 00 to 2025-08-20 15"],
    }  # fmt: skip


@pytest.mark.parametrize("measure", ["revenue", "orders"])
@pytest.mark.parametrize("filters", [{}, {"countries": ("France", "Canada"), "channels": ("online",)}], ids=str)
def test_the_spans_add_up_the_orders_of_the_source(
    ask: Query, shop: Shop, now: datetime, measure: Measure, filters: dict[str, Any]
) -> None:
    end = now.replace(minute=0, second=0, microsecond=0)
    orders = [
        order
        for order in shop.orders()
        if not filters or (COUNTRIES[order.territory_id] in filters["countries"] and order.online)
    ]

    def total(span: spans.Range) -> Decimal:
        within = [order for order in orders if span[0] <= order.order_date < span[1]]
        return Decimal(len(within)) if measure == "orders" else sum((o.sub_total for o in within), Decimal(0))

    earliest = min(order.order_date for order in shop.orders()).date()
    rows = spans.to_date(ask, Scope(ANY.first, ANY.last, **filters), measure, end, now.date(), earliest)
    wanted = [span for span in spans.spans(end, now.date()) if span.shown[0] < span.shown[1]]
    assert list(rows["period"]) == [span.name for span in wanted]
    for row, span in zip(rows.to_dict("records"), wanted, strict=True):
        assert row[measure] == total(span.shown), span.name
        assert pd.isna(row["last_year"]), "the shop has 70 days of live sales"
        if span.before and span.before[0].date() >= earliest and total(span.before):
            assert row["before"] == total(span.before), span.name
            assert row["change"] == pytest.approx(float(row[measure] / row["before"]) - 1)
        else:
            assert pd.isna(row["before"]), span.name


def test_the_forecast_follows_the_same_day_of_four_weeks(ask: Query, shop: Shop, now: datetime) -> None:
    yesterday = now.date() - timedelta(days=1)
    start = datetime(yesterday.year, yesterday.month, yesterday.day)
    orders = shop.orders()

    def count(weeks: int, hours: int) -> int:
        begins = start - timedelta(weeks=weeks)
        return sum(begins <= order.order_date < begins + timedelta(hours=hours) for order in orders)

    until, whole = (sum(count(week, hours) for week in range(1, 5)) for hours in (12, 24))
    found = spans.forecast(ask, ANY, "orders", start + timedelta(hours=12), yesterday)
    assert found == Decimal(count(0, 12)) * whole / until
    assert spans.forecast(ask, ANY, "orders", start, yesterday) is None, "no hour is complete"
