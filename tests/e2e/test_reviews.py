"""Reviews from the generator through the shop's API to the marts, compared with the API's own table row for row."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from adventure.core.clock import utc_now
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.dashboard.sales import review_metrics
from adventure.dashboard.sales.scope import Scope
from adventure.demo.api.faults import Faults
from adventure.demo.api.serve import serving
from adventure.demo.generator.run import backfill, generate
from adventure.demo.history import ensure_history
from adventure.destinations.common.build import target_dir
from adventure.destinations.common.dbt_command import invoke
from adventure.destinations.duckdb.published import DuckDBDataset
from adventure.factory import open_warehouse
from adventure.monitoring.checks import run_checks
from adventure.processor.run import process_once
from adventure.tasks.graph import run_task

pytestmark = pytest.mark.slow

COLUMNS = (
    "review_id", "product_id", "customer_id", "sales_order_id", "rating", "title", "body", "verified_purchase",
    "helpful_votes", "status", "created_at", "edited_at", "updated_at",
)  # fmt: skip
"""Of the API's table; the model calls three of them by another name."""
NAMES = {"body": "review_text", "verified_purchase": "is_verified_purchase", "updated_at": "last_modified"}


@pytest.fixture
def shop(writer_settings: Settings) -> Settings:
    return writer_settings.model_copy(
        update={"shop_api_port": 0, "api_token": SecretStr("the-token"), "generation_interval_sec": 0}
    )


@pytest.fixture
def reader(shop: Settings, settings: Settings) -> Iterator[Settings]:
    """Settings of the pipeline, with an API that cuts every fifth answer."""
    faults = Faults(shares={"cut": 0.2})
    faults.rng.seed(1)
    with serving(shop, faults) as (port, _):
        yield settings.model_copy(
            update={"api_url": f"http://127.0.0.1:{port}/v1", "api_token": SecretStr("the-token")}
        )


def source(settings: Settings, columns: Sequence[str] = COLUMNS, where: str = "true") -> list[tuple[Any, ...]]:
    """Return rows of the API's table, with identifiers as text."""
    with psycopg.connect(settings.postgres_dsn) as connection:
        found = connection.execute(
            f"select {', '.join(columns)} from reviews_api.reviews where {where}"  # type: ignore[arg-type]
        ).fetchall()
    return plain(columns, found)


def plain(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return sorted(
        tuple(
            str(value) if name.endswith("_id") and value is not None else value
            for name, value in zip(columns, row, strict=True)
        )
        for row in rows
    )


def cycle(settings: Settings, streams: Sequence[Stream]) -> None:
    """Process, load, build and publish."""
    report = process_once(settings, streams)
    assert report.failures == {}
    assert [run.message for run in run_task(settings, tuple(streams), None) if run.outcome == "failed"] == []


@pytest.mark.timeout(900)
def test_reviews_reach_the_marts_as_the_api_has_them(shop: Settings, reader: Settings) -> None:
    streams = load_streams(reader)
    assert [stream.name for stream in streams] == ["orders", "order_details", "chat_logs", "reviews"]
    ensure_history(reader)
    backfill(shop, orders=1500, days=45, seed=1)
    cycle(reader, streams)
    warehouse = open_warehouse(reader)
    names = [NAMES.get(name, name) for name in COLUMNS]

    def compare() -> None:
        kept = warehouse.execute(f"select {', '.join(names)} from dbt_prod.base_reviews__reviews", ())
        assert plain(COLUMNS, kept) == source(shop)
        shown = [name for name in COLUMNS if name != "status"]
        kept = warehouse.execute(
            f"select {', '.join(NAMES.get(name, name) for name in shown)} from dbt_prod.fct_reviews", ()
        )
        assert plain(shown, kept) == source(shop, shown, "status = 'published'")

    compare()
    generate(shop, seed=2, batches=10)
    write_changing_opinions(shop)
    assert source(shop, ("review_id",), "edited_at = updated_at")
    cycle(reader, streams)
    compare()

    with psycopg.connect(shop.postgres_dsn) as connection:
        rated = connection.execute(
            "select product_id::text, count(*), round(avg(rating), 4), count(*) filter (where verified_purchase)"
            " from reviews_api.reviews where status = 'published' group by 1 order by 1"
        ).fetchall()
    found = warehouse.execute(
        "select product_id, reviews, average_rating, verified_reviews from dbt_prod.product_ratings"
        " where reviews > 0 order by 1",
        (),
    )
    assert [(key, count, Decimal(mean), verified) for key, count, mean, verified in found] == rated
    ((early, unknown),) = warehouse.execute(
        "select count(*) filter (where created_at < order_date), count(*) filter (where is_verified_purchase and"
        " order_date is null) from dbt_prod.fct_reviews",
        (),
    )
    assert (early, unknown) == (0, 0)
    assert [check for check in run_checks(reader, streams) if check.failed] == []
    compare_dashboard(shop, reader)
    compare_falling_products(shop, reader)


def compare_dashboard(shop: Settings, reader: Settings) -> None:
    """Compare what the dashboard shows of the last 30 days with the API's own table."""
    dataset, today = DuckDBDataset(reader.published_path, ""), utc_now().date()
    scope = Scope(today - timedelta(days=29), today)
    with psycopg.connect(shop.postgres_dsn) as connection:
        written = "from reviews_api.reviews where status = 'published' and created_at >= %s"
        ((reviews, rating, verified),) = connection.execute(
            f"select count(*), avg(rating)::float, avg(verified_purchase::int)::float {written}", [scope.first]
        ).fetchall()
        by_day = connection.execute(
            f"select created_at::date, count(*), avg(rating)::float {written} group by 1 order by 1", [scope.first]
        ).fetchall()
        newest = connection.execute(
            f"select created_at, rating, trim(title) {written} order by created_at desc, review_id limit 10",
            [scope.first],
        ).fetchall()
        online = connection.execute(
            f"select count(*) {written} and sales_order_id is not null", [scope.first]
        ).fetchall()[0][0]
    assert reviews > 100
    total = review_metrics.total(dataset.query, scope)
    assert total.reviews == reviews
    assert [total.rating, total.verified_share] == pytest.approx([rating, verified])
    rows = review_metrics.over_time(dataset.query, scope, "day", utc_now())
    found = [(row.period.date(), row.reviews, pytest.approx(row.rating)) for row in rows.itertuples() if row.reviews]
    assert found == by_day
    kept = review_metrics.newest(dataset.query, scope)[["created_at", "rating", "title"]]
    assert [(row.created_at.to_pydatetime(), row.rating, row.title) for row in kept.itertuples()] == newest
    with_orders = replace(scope, channels=("online", "reseller"))
    assert review_metrics.total(dataset.query, with_orders).reviews == online
    countries = dataset.query("select distinct country from reviews_by_day")["country"]
    each = [review_metrics.total(dataset.query, replace(scope, countries=(name,))).reviews for name in countries]
    assert (sum(each), "Unknown" in set(countries)) == (reviews, False)


WEEK = timedelta(days=7)
OPINIONS = """
insert into reviews_api.reviews
select gen_random_uuid(), %s, 11000 + i, null, %s, 'Again', 'Well', false, 0, 'published', %s, null, %s
from generate_series(1, %s) as i
"""
RATED_AND_SOLD = """
with periods as (
    select * from (values (1, %(first)s::date, %(end)s::date), (0, %(before)s, %(first)s)) as p (late, low, high)
),
rated as (
    select late, product_id, avg(rating)::float as rating, count(*) as reviews
    from periods join reviews_api.reviews on created_at >= low and created_at < high
    where status = 'published' group by 1, 2
),
sold as (
    select late, product_id, sum(order_qty) as units
    from periods join orders on order_date >= low and order_date < high join order_details using (sales_order_id)
    group by 1, 2
)
select now.product_id::text, now.rating, before.rating, now.reviews, units.units, coalesce(earlier.units, 0)
from rated as now join rated as before using (product_id) join sold as units using (product_id)
left join sold as earlier on earlier.product_id = now.product_id and earlier.late = 0
where now.late = 1 and before.late = 0 and units.late = 1 and least(now.reviews, before.reviews) >= %(least)s
"""


def write_changing_opinions(shop: Settings) -> None:
    """Write reviews of what sells best in each of the last four weeks: each product is praised every other week."""
    now = utc_now()
    with psycopg.connect(shop.postgres_dsn) as connection:
        best = connection.execute(
            "select product_id from order_details join orders using (sales_order_id) where order_date > %s"
            " group by 1 order by count(*) desc, 1 limit 40",
            [now - 4 * WEEK],
        ).fetchall()
        for number, (product,) in enumerate(best):
            for week in range(4):
                rating, written = (1, 5)[(number + week) % 2], now - (week + 0.5) * WEEK
                connection.execute(OPINIONS, [product, rating, written, now, 4 + number % 3])


def compare_falling_products(shop: Settings, reader: Settings) -> None:
    """Compare the products whose rating falls while sales rise with the shop's orders and the API's own table."""
    dataset, today = DuckDBDataset(reader.published_path, ""), utc_now().date()
    # The running day is left out, so all weeks are over.
    ends = [today - week * WEEK for week in range(3)]
    ways = {way for end in ends for way in falling_ways(shop, dataset, end)}
    assert ways == {(falls, rise) for falls in (True, False) for rise in (True, False)}


def falling_ways(shop: Settings, dataset: DuckDBDataset, end: date) -> Iterator[tuple[bool, bool]]:
    """Compare one week with the week before; yield for each product whether its rating falls, and its sales rise."""
    scope = Scope(end - WEEK, end - timedelta(days=1))
    bounds = {"first": scope.first, "end": end, "before": scope.first - WEEK, "least": review_metrics.LEAST_REVIEWS}
    with psycopg.connect(shop.postgres_dsn) as connection:
        expected = connection.execute(RATED_AND_SOLD, bounds).fetchall()
    named = dict(dataset.query("select product_id, product_name from dim_products").to_numpy().tolist())
    wanted = {
        named[product]: (
            pytest.approx(late),
            pytest.approx(early),
            pytest.approx(late - early),
            reviews,
            units,
            earlier,
        )
        for product, late, early, reviews, units, earlier in expected
        if late < early and units > earlier
    }
    rows = review_metrics.falling_products(dataset.query, scope, utc_now().date(), limit=1000)
    found: dict[Any, Any] = {
        row.product: (row.rating, row.rating_before, row.change, row.reviews, row.units, row.units_before)
        for row in rows.itertuples()
    }
    assert found == wanted
    yield from ((late < early, units > earlier) for _, late, early, _, units, earlier in expected)


@pytest.mark.timeout(900)
def test_without_an_api_there_are_no_reviews_and_with_one_the_unit_tests_of_their_models_pass(
    shop: Settings, settings: Settings, reader: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [stream.name for stream in load_streams(settings)] == ["orders", "order_details", "chat_logs"]
    backfill(shop, orders=300, days=30, seed=1)
    cycle(settings, load_streams(settings))
    tables = "select count(*) from information_schema.tables where table_name like '%reviews%'"
    assert open_warehouse(settings).execute(tables, ()) == [(0,)]
    cycle(reader, load_streams(reader))
    assert open_warehouse(reader).execute("select count(*) > 0 from dbt_prod.fct_reviews", ()) == [(True,)]
    monkeypatch.setenv("API_URL", reader.api_url)
    monkeypatch.setenv("ADVENTURE_DUCKDB_PATH", str(reader.duckdb_path.resolve()))
    folder, target = str(reader.dbt_dir.resolve()), target_dir(reader)
    options = ["--project-dir", folder, "--profiles-dir", folder, "--target", "duckdb", "--target-path", str(target)]
    result = invoke(
        [
            "test",
            "--select",
            "test_type:unit,path:models/*/reviews",
            *options,
            "--log-path",
            str(target.parent / "logs"),
        ]
    )
    assert result.success, result.exception
    assert {str(node.status) for node in result.result.results} == {"pass"}
    assert len(result.result.results) == 3
