"""One small shop for all dashboard tests: real databases, loaded once through the whole pipeline."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import altair as alt
import duckdb
import psycopg
import pytest
from streamlit.testing.v1 import AppTest

from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.dashboard import layout
from adventure.dashboard.serve import environment
from adventure.dashboard.vega import Spec, named_data
from adventure.demo.catalogue import products
from adventure.demo.generator.run import backfill, generate
from adventure.demo.generator.schema import create_tables
from adventure.demo.history import ensure_history
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import create_databases
from adventure.destinations.duckdb.published import DuckDBDataset
from adventure.destinations.published import PublishedDataset, Query
from adventure.processor.run import process_once
from adventure.sources.mongo.connect import connect_mongo
from adventure.tasks.graph import run_task

ROOT = Path(__file__).parent.parent.parent

HOSTILE = "<script>document.title='owned'</script> \"q\" 'q' 🚲 $x^2$ :material/home: [a](http://b) **b** " + "x" * 300
"""A text value that tries to inject HTML, Markdown and quotes."""

COUNTRIES = {
    **dict.fromkeys(range(1, 6), "United States"),
    6: "Canada",
    7: "France",
    8: HOSTILE,
    9: "Australia",
    10: "United Kingdom",
}
"""The customers' country by territory. In this shop, territory 8 (Germany) has a hostile name."""
CATEGORIES = {product.product_id: product.category or "Unknown" for product in products()}
HOSTILE_PRODUCT = 782


@dataclass(frozen=True)
class Order:
    """An order at the source."""

    order_id: str
    customer_id: int
    territory_id: int
    online: bool
    order_date: datetime
    sub_total: Decimal
    lines: tuple[tuple[int, int, Decimal], ...]
    """Product, units, total."""


@dataclass(frozen=True)
class Shop:
    """The shop's databases and pipeline."""

    reader: Settings
    writer: Settings
    streams: tuple[Stream, ...]

    def sell(self, batches: int = 1) -> None:
        """Write new sales to the databases."""
        generate(self.writer.model_copy(update={"generation_interval_sec": 0}), seed=5, batches=batches)

    def run_pipeline(self) -> None:
        """Run the pipeline from the databases to the published copies."""
        process_once(self.reader, self.streams)
        runs = run_task(self.reader, self.streams)
        assert [(run.name, run.message) for run in runs if run.outcome == "failed"] == []

    def orders(self) -> list[Order]:
        """Return all orders, from PostgreSQL."""
        statement = """
            select o.sales_order_id::text, o.customer_id, o.territory_id, o.online_order_flag = 1, o.order_date,
                o.sub_total,
                array_agg(d.product_id order by d.sales_order_detail_id),
                array_agg(d.order_qty order by d.sales_order_detail_id),
                array_agg(d.line_total order by d.sales_order_detail_id)
            from orders as o
            inner join order_details as d on o.sales_order_id = d.sales_order_id
            where o.sub_total <> 'NaN'
            group by o.sales_order_id, o.customer_id, o.territory_id, o.online_order_flag, o.order_date, o.sub_total
        """
        with psycopg.connect(self.writer.postgres_dsn) as connection:
            rows = connection.execute(statement).fetchall()
        return [
            Order(*(_naive(value) for value in row[:6]), tuple(zip(*row[6:], strict=True)))  # type: ignore[call-arg, arg-type]
            for row in rows
        ]

    def chats(self) -> list[dict[str, object]]:
        """Return all chats, from MongoDB."""
        with connect_mongo(self.writer.mongo_conninfo, name="the chats") as client:
            return list(client[self.writer.mongo_db][self.writer.mongo_collection].find())

    def history(self, statement: str) -> list[tuple[Any, ...]]:
        """Query the raw history."""
        with duckdb.connect(str(self.reader.duckdb_path), read_only=True) as connection:
            return connection.execute(statement).fetchall()

    def first_order_ids(self) -> set[str]:
        """Return each customer's first order, from history and live sales."""
        first: dict[int, tuple[datetime, str]] = {}
        raw = "select (raw->>'CustomerID')::integer, (raw->>'OrderDate')::timestamp, raw->>'SalesOrderID'"
        known = self.history(f"{raw} from ecom.sales_order_raw")
        known += [(order.customer_id, order.order_date, order.order_id) for order in self.orders()]
        for customer, placed, order_id in known:
            first[customer] = min(first.get(customer, (placed, order_id)), (placed, order_id))
        return {order_id for _, order_id in first.values()}

    def product_names(self) -> dict[int, str]:
        """Return the product names in the warehouse."""
        return dict(self.history("select productid, productname from adventure_db.product_prod_db"))

    @property
    def sales(self) -> PublishedDataset:
        return DuckDBDataset(self.reader.published_path, "")

    @property
    def report(self) -> PublishedDataset:
        return DuckDBDataset(self.reader.report_path, "")


def _naive(value: object) -> object:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def checked(chart: Spec) -> Spec:
    """Return the chart as Streamlit takes it.

    Raises:
        jsonschema.ValidationError: it does not fit the schema of Vega-Lite.
    """
    found = named_data(chart)
    alt.TopLevelSpec.from_dict({name: part for name, part in found.items() if name != "datasets"})
    return found


@pytest.fixture(autouse=True)
def _checked_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check every chart that a test draws in its own process."""
    monkeypatch.setattr(layout, "named_data", checked)


@pytest.fixture(scope="session")
def shop(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Return a shop with a history, 70 days of live sales, and hostile texts in a product and a rejected row."""
    folder = tmp_path_factory.mktemp("shop")
    made = create_databases(sandbox, "dashboard", mongo_db="dashboard_support")
    reader, writer = (
        load_settings(
            **{name.lower(): value for name, value in environment.items()},
            data_dir=folder / "adventure",
            pipeline_file=ROOT / "pipeline.toml",
            dbt_dir=ROOT / "dbt",
            order_batch_size=50,
        )
        for environment in (made.reader_env, made.writer_env)
    )
    create_tables(writer)
    ensure_history(reader)
    with duckdb.connect(str(reader.duckdb_path)) as connection:
        connection.execute(
            "update adventure_db.customer_prod_db set countryregion = ? where territoryid = 8", [HOSTILE]
        )
        connection.execute(
            "update adventure_db.product_prod_db set productname = ? where productid = ?", [HOSTILE, HOSTILE_PRODUCT]
        )
    backfill(writer, orders=1200, days=70, seed=1)
    with psycopg.connect(writer.postgres_dsn) as connection:
        connection.execute(
            """
            insert into orders
            select (jsonb_populate_record(o, jsonb_build_object(
                'sales_order_id', gen_random_uuid(), 'sub_total', 'NaN', 'comment', %s::text
            ))).*
            from orders as o limit 1
            """,
            [HOSTILE],
        )
    shop_ = Shop(reader, writer, load_streams(reader))
    shop_.run_pipeline()
    return shop_


@pytest.fixture(scope="session")
def ask(shop: Shop) -> Query:
    """Return the query function of the shop's published copy."""
    return shop.sales.query


@pytest.fixture(scope="session")
def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


@pytest.fixture
def opened(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run a script of the app with a link's values, over the shop's published marts."""
    for name, value in environment(shop.reader).items():
        monkeypatch.setenv(name, value)

    def run(script: str, **link: str | list[str]) -> Any:
        page = AppTest.from_string(script, default_timeout=60)
        for name, value in link.items():
            page.query_params[name] = value
        page.run()
        assert not page.exception
        return page

    return run
