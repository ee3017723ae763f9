"""Test the generated reviews: they follow the sales, their texts fit, and the shop's API serves them all."""

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr
from starlette.testclient import TestClient

from adventure.core.errors import ConfigError
from adventure.core.settings import Settings
from adventure.demo.api.app import PATH, reviews_app
from adventure.demo.api.faults import Faults, parse_faults
from adventure.demo.api.serve import serve, serving
from adventure.demo.catalogue import products
from adventure.demo.generator.orders import OrderMaker, Sale
from adventure.demo.generator.plan import Plan
from adventure.demo.generator.reviews import DELETED, Review, ReviewMaker
from adventure.demo.generator.run import backfill, generate
from adventure.demo.generator.shop import FIRST_ORDER_NUMBER
from adventure.demo.generator.things import thing_of

NOW = datetime(2026, 3, 3, 9, 30)


def reviewed(seed: int) -> tuple[list[Sale], list[Review]]:
    """Return the sales of a backfill of 60 days, and their reviews."""
    first = datetime(2026, 1, 3)
    plan = Plan(first.date(), today=NOW.date())
    maker = OrderMaker(seed, FIRST_ORDER_NUMBER, NOW.date(), plan)
    sales = [maker.make(order_date, NOW) for order_date in plan.draw(maker.rng, first, NOW, 6000)]
    return sales, ReviewMaker(seed, FIRST_ORDER_NUMBER, plan).review_sales(sales, NOW)


@pytest.fixture(scope="module")
def world() -> tuple[list[Sale], list[Review]]:
    return reviewed(1)


def test_reviews_follow_the_sales(world: tuple[list[Sale], list[Review]]) -> None:
    sales, reviews = world
    by_order = {sale.order_id: sale for sale in sales}
    assert len(reviews) > 500
    assert len({review.review_id for review in reviews}) == len(reviews)
    for review in reviews:
        assert review.created_at <= (review.edited_at or NOW) <= review.updated_at == NOW
        assert review.verified_purchase == (review.sales_order_id is not None)
        if review.sales_order_id:
            sale = by_order[review.sales_order_id]
            assert review.created_at >= sale.order_date + timedelta(days=7)
            assert review.customer_id == sale.customer_id
            assert str(review.product_id) in {line.split("\t")[4] for line in sale.lines}
    purchases = Counter((review.sales_order_id, review.product_id) for review in reviews if review.verified_purchase)
    assert set(purchases.values()) == {1}


def test_shares_of_ratings_purchases_edits_and_deletions(world: tuple[list[Sale], list[Review]]) -> None:
    reviews = world[1]
    ratings = Counter(review.rating for review in reviews)
    assert set(ratings) == {1, 2, 3, 4, 5}
    assert ratings[5] > ratings[4] > ratings[3]
    assert 3.6 < sum(rating * count for rating, count in ratings.items()) / len(reviews) < 4.3
    for share, low, high in (
        (sum(review.verified_purchase for review in reviews), 0.87, 0.97),
        (sum(review.edited_at is not None for review in reviews), 0.02, 0.09),
        (sum(review.status == DELETED for review in reviews), 0.005, 0.04),
        (sum(review.helpful_votes == 0 for review in reviews), 0.3, 0.7),
    ):
        assert low < share / len(reviews) < high


def test_the_clothing_of_the_campaign_is_rated_low(world: tuple[list[Sale], list[Review]]) -> None:
    sales, reviews = world
    plan, category = Plan(datetime(2026, 1, 3).date(), today=NOW.date()), {p.product_id: p.category for p in products()}
    ordered = {sale.order_id: sale.order_date.date() for sale in sales}
    found: dict[bool, list[int]] = {True: [], False: []}
    for review in reviews:
        if review.sales_order_id and category[review.product_id] == "Clothing":
            found[plan.is_campaign(ordered[review.sales_order_id])].append(review.rating)
    in_campaign, before = (sum(ratings) / len(ratings) for ratings in (found[True], found[False]))
    assert in_campaign < before - 0.5


def test_texts_fit_the_rating_and_the_product(world: tuple[list[Sale], list[Review]]) -> None:
    by_id = {product.product_id: product for product in products()}
    shown = [review for review in world[1] if review.status != DELETED]
    assert len({review.body for review in shown}) > 0.85 * len(shown)
    for review in shown:
        for text in (review.title, review.body):
            assert text[0].isupper() or text[0] in "$0123456789", text
            assert not set("{}[]|\t\n\\") & set(text), text
            assert not [blank for blank in ("  ", " .", " ,", "..") if blank in text], text
        blame = ("waste of money", "do not buy", "i want my money back", "into the bin", "disappoint", "never again")
        praise = ("highly recommended", "five stars", "excellent", "a clear recommendation", "money well spent")
        text = f"{review.title} {review.body}".lower()
        assert not [word for word in (blame if review.rating >= 4 else praise) if word in text], (review.rating, text)
    about = sum(thing_of(by_id[review.product_id]).noun in f"{review.title} {review.body}" for review in shown)
    assert about > len(shown) / 4


def test_the_same_seed_gives_the_same_reviews(world: tuple[list[Sale], list[Review]]) -> None:
    assert reviewed(1)[1] == world[1]
    assert reviewed(2)[1] != world[1]


def rows(settings: Settings) -> list[dict[str, Any]]:
    with psycopg.connect(settings.postgres_dsn, row_factory=dict_row) as connection:
        return connection.execute("select * from reviews_api.reviews order by updated_at, review_id").fetchall()


@pytest.fixture
def shop(writer_settings: Settings) -> Settings:
    """Settings of a shop with some reviews."""
    backfill(writer_settings, orders=1200, days=30, seed=1)
    return writer_settings.model_copy(update={"api_token": SecretStr("the-token"), "shop_api_port": 0})


@pytest.fixture
def client(shop: Settings) -> Iterator[TestClient]:
    with TestClient(reviews_app(shop), headers={"authorization": "Bearer the-token"}) as client:
        yield client


def read(client: TestClient | httpx.Client, url: str = f"{PATH}?limit=50") -> list[dict[str, Any]]:
    """Return the reviews of all pages."""
    found: list[dict[str, Any]] = []
    while url:
        answer = client.get(url).raise_for_status().json()
        found += answer["reviews"]
        url = answer["next"]
    return found


def test_live_batches_write_edit_and_delete_reviews(shop: Settings) -> None:
    before = {row["review_id"]: row for row in rows(shop)}
    totals = generate(shop.model_copy(update={"generation_interval_sec": 0}), seed=2, batches=8)
    after = {row["review_id"]: row for row in rows(shop)}
    assert len(after) - len(before) == totals.reviews > 20
    changed = {key for key, row in before.items() if row != after[key]}
    assert 0 < len(changed) <= totals.updated_reviews
    assert all(after[key]["updated_at"] > before[key]["updated_at"] for key in changed)
    assert any(after[key]["helpful_votes"] > before[key]["helpful_votes"] for key in changed)
    with psycopg.connect(shop.postgres_dsn) as connection:
        early = connection.execute(
            "select count(*) from reviews_api.reviews join orders using (sales_order_id) where created_at < ship_date"
        ).fetchone()
    assert early == (0,)


def test_the_pipelines_role_cannot_read_the_table(shop: Settings, settings: Settings) -> None:
    with (
        psycopg.connect(settings.postgres_dsn) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("select * from reviews_api.reviews")


def test_all_pages_have_all_reviews(shop: Settings, client: TestClient) -> None:
    kept = rows(shop)
    served = read(client)
    assert [each["id"] for each in served] == [str(row["review_id"]) for row in kept]
    assert client.get(PATH).json()["total"] == len(kept) > 50
    for each, row in zip(served, kept, strict=True):
        same = {
            "rating": "rating",
            "title": "title",
            "text": "body",
            "status": "status",
            "helpful_votes": "helpful_votes",
        }
        assert {name: each[name] for name in same} == {name: row[column] for name, column in same.items()}
        assert datetime.fromisoformat(each["updated_at"]) == row["updated_at"].replace(tzinfo=UTC)


def test_since_is_inclusive_and_an_unchanged_answer_is_not_sent_again(shop: Settings, client: TestClient) -> None:
    last = rows(shop)[-1]["updated_at"]
    count = sum(row["updated_at"] == last for row in rows(shop))
    url = f"{PATH}?since={last.isoformat()}Z&limit=1000"
    first = client.get(url)
    assert len(first.json()["reviews"]) == count
    assert "total" not in first.json()
    again = client.get(url, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    generate(shop, seed=3, batches=1)
    assert client.get(url, headers={"if-none-match": first.headers["etag"]}).status_code == 200


@pytest.mark.parametrize(
    ("url", "token", "status"),
    [
        (PATH, "wrong", 401),
        (f"{PATH}?since=yesterday", "the-token", 400),
        (f"{PATH}?after=1", "the-token", 400),
        (f"{PATH}?limit=many", "the-token", 400),
        ("/v1/else", "the-token", 404),
    ],
)
def test_requests_that_are_refused(shop: Settings, url: str, token: str, status: int) -> None:
    client = TestClient(reviews_app(shop), headers={"authorization": f"Bearer {token}"})
    assert client.get(url).status_code == status


def test_a_silent_database_is_503_with_a_time_to_wait(writer_settings: Settings) -> None:
    client = TestClient(reviews_app(writer_settings.model_copy(update={"postgres_port": 1})))
    answer = client.get(PATH)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_faults_on_demand(shop: Settings) -> None:
    headers = {"authorization": "Bearer the-token"}
    for fault, status in (("429", 429), ("500", 500)):
        answer = TestClient(reviews_app(shop, Faults(shares={fault: 1.0})), headers=headers).get(PATH)
        assert (answer.status_code, answer.headers.get("retry-after")) == (status, "1" if status == 429 else None)
    with (
        serving(shop, Faults(shares={"cut": 1.0})) as (port, _),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        client.get(PATH)


@pytest.mark.parametrize("text", ["429", "429=many", "503=0.1", "latency=-1", "429=0.6 500=0.6", "latency=inf"])
def test_malformed_faults_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="SHOP_API_FAULTS"):
        parse_faults(text)


def test_a_taken_port_is_refused_and_a_free_one_serves_until_stopped(shop: Settings) -> None:
    with serving(shop) as (port, _), httpx.Client(headers={"authorization": "Bearer the-token"}) as client:
        assert client.get(f"http://127.0.0.1:{port}{PATH}").status_code == 200
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}"):
            serve(shop.model_copy(update={"shop_api_port": port}), threading.Event())
    stop = threading.Event()
    stop.set()
    serve(shop, stop)
