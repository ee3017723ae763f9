"""The panels of the reviews: figures recomputed review by review, and hostile texts shown as text."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from adventure.dashboard.sales import review_metrics
from adventure.dashboard.sales.scope import Scope
from adventure.destinations.published import Query
from tests.dashboard.conftest import HOSTILE

TODAY = date(2026, 3, 31)
NOW = datetime(2026, 3, 31, 9, 30)
SCOPES = {
    "30 days": Scope(TODAY - timedelta(29), TODAY),
    "one country": Scope(TODAY - timedelta(29), TODAY, ("France",)),
    "one channel": Scope(TODAY - timedelta(29), TODAY, (), ("online",)),
    "days that are over": Scope(TODAY - timedelta(20), TODAY - timedelta(5)),
    "no reviews": Scope(date(2020, 1, 1), date(2020, 1, 9)),
}


@dataclass(frozen=True)
class Review:
    """A review, and how many units of its product were sold on its day."""

    at: datetime
    product: str
    country: str
    channel: str
    rating: int
    verified: bool
    units: int


def made(count: int = 900) -> list[Review]:
    rng = random.Random(4)
    return [
        Review(
            at := datetime(2026, 3, 31) - timedelta(minutes=rng.randrange(70 * 24 * 60)),
            f"p{rng.randrange(12)}",
            rng.choice(("France", "Canada", HOSTILE)),
            rng.choice(("online", "none")),
            rng.choice((1, 2, 4, 5)),
            rng.random() < 0.7,
            1 + (at > datetime(2026, 3, 10)) * rng.randrange(2),
        )
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def reviews() -> list[Review]:
    return made()


@pytest.fixture(scope="module")
def ask(reviews: list[Review]) -> Query:
    """The marts as dbt builds them, filled from the reviews one by one."""
    connection = duckdb.connect()
    connection.execute(
        "create table reviews_by_day (review_day date, product_id varchar, country varchar, channel varchar,"
        " reviews bigint, rating_points bigint, verified_reviews bigint)"
    )
    connection.execute(
        "create table product_sales_by_day (order_day date, product_id varchar, country varchar, channel varchar,"
        " units bigint)"
    )
    connection.execute("create table dim_products (product_id varchar, product_name varchar)")
    connection.execute(
        "create table latest_reviews (review_id varchar, created_at timestamp, country varchar, channel varchar,"
        " product_name varchar, rating integer, title varchar, review_text varchar, is_verified_purchase boolean,"
        " edited_at timestamp)"
    )
    connection.execute("insert into dim_products values ('p1', 'Cap'), ('p2', ?)", [HOSTILE])
    for number, each in enumerate(reviews):
        key = (each.at.date(), each.product, each.country, each.channel)
        connection.execute(
            "insert into reviews_by_day values (?, ?, ?, ?, 1, ?, ?)", [*key, each.rating, each.verified]
        )
        connection.execute("insert into product_sales_by_day values (?, ?, ?, ?, ?)", [*key, each.units])
        text = HOSTILE if number % 2 else None
        row = [str(number), each.at, each.country, each.channel, HOSTILE, each.rating, HOSTILE, text, each.verified]
        connection.execute("insert into latest_reviews values (?, ?, ?, ?, ?, ?, ?, ?, ?, null)", row)

    def query(statement: str, values: Sequence[object]) -> pd.DataFrame:
        return connection.execute(statement, list(values)).df()

    return query


def within(reviews: Iterable[Review], scope: Scope) -> list[Review]:
    return [
        each
        for each in reviews
        if scope.first <= each.at.date() <= scope.last
        and (not scope.countries or each.country in scope.countries)
        and (not scope.channels or each.channel in scope.channels)
    ]


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


@pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES)
def test_the_cards_and_the_chart(ask: Query, reviews: list[Review], scope: Scope) -> None:
    found, total = within(reviews, scope), review_metrics.total(ask, scope)
    assert total.reviews == len(found)
    assert total.rating == pytest.approx(mean([each.rating for each in found]))
    assert total.verified_share == pytest.approx(mean([each.verified for each in found]))
    rows = review_metrics.over_time(ask, scope, "day", NOW)
    assert len(rows) == scope.days
    assert rows["reviews"].sum() == len(found)
    for period, count, rating in rows[["period", "reviews", "rating"]].to_numpy().tolist():
        rated = [each.rating for each in found if each.at.date() == period.date()]
        assert count == len(rated)
        assert (None if pd.isna(rating) else rating) == pytest.approx(mean(rated))


@pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES)
def test_products_whose_rating_falls_while_sales_rise(ask: Query, reviews: list[Review], scope: Scope) -> None:
    compared = scope.compared(TODAY)
    assert compared
    ratings: list[dict[str, list[int]]] = [defaultdict(list), defaultdict(list)]
    units: list[dict[str, list[int]]] = [defaultdict(list), defaultdict(list)]
    for place, each in enumerate(compared):
        for review in within(reviews, each):
            ratings[place][review.product].append(review.rating)
            units[place][review.product].append(review.units)
    expected = {
        {"p1": "Cap", "p2": HOSTILE}.get(product, f"Product {product}"): (now - before, len(rated))
        for product, rated in ratings[0].items()
        if len(rated) >= 3 and len(ratings[1][product]) >= 3
        if (now := mean(rated) or 0) < (before := mean(ratings[1][product]) or 0)
        if sum(units[0][product]) > sum(units[1][product])
    }
    rows = review_metrics.falling_products(ask, scope, TODAY)
    found = rows[["product", "change", "reviews"]].to_numpy().tolist()
    assert {product: count for product, _, count in found} == {name: count for name, (_, count) in expected.items()}
    assert [change for _, change, _ in found] == pytest.approx([expected[product][0] for product, _, _ in found])
    assert list(rows["change"]) == sorted(rows["change"])
    assert bool(expected) == (scope.first.year > 2020)
    assert review_metrics.falling_products(ask, scope, TODAY, earliest=scope.first).empty


@pytest.mark.parametrize("scope", [SCOPES["30 days"], SCOPES["one channel"], SCOPES["no reviews"]])
def test_the_newest_reviews(ask: Query, reviews: list[Review], scope: Scope) -> None:
    chosen = [each.at for each in reviews if not scope.channels or each.channel in scope.channels]
    assert list(review_metrics.newest(ask, scope)["created_at"]) == sorted(chosen, reverse=True)[:10]


PAGE = """
from datetime import date, datetime

import streamlit as st

from adventure.dashboard.sales import reviews
from adventure.dashboard.sales.panel import Panel
from adventure.dashboard.sales.scope import Scope

scope = Scope(date(2026, 3, 2), date(2026, 3, 31))
query, descriptions = st.session_state["query"], st.session_state["descriptions"]
reviews.show(Panel(query, scope, datetime(2026, 3, 31, 9, 30), descriptions, date(2020, 1, 1)))
"""


def shown(query: Query, descriptions: dict[tuple[str, str], str]) -> AppTest:
    """Return the panels as Streamlit draws them."""
    page = AppTest.from_string(PAGE, default_timeout=60)
    page.session_state["query"], page.session_state["descriptions"] = query, descriptions
    page.run()
    assert not page.exception
    return page


def test_hostile_texts_stay_text(ask: Query) -> None:
    page = shown(ask, {("reviews_by_day", ""): "Reviews."})
    assert [each.value for each in page.subheader] == ["Reviews", "Rating falls, sales rise", "Newest reviews"]
    assert [each.label for each in page.metric] == ["Reviews", "Mean rating, 1 to 5", "Verified"]
    markup = "".join(each.proto.body for each in page.get("html"))
    assert "&lt;script&gt;" in markup
    assert "<script" not in markup
    assert not [each for each in page.markdown if "script" in each.value]


def test_without_reviews_there_are_no_panels(ask: Query) -> None:
    assert len(shown(ask, {}).main) == 0
