"""The dashboard over Snowflake's emulator: the same answers as over DuckDB, from the very files that are uploaded."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from adventure.core.clock import utc_now
from adventure.core.errors import WarehouseError
from adventure.core.settings import Settings
from adventure.dashboard import format
from adventure.dashboard.pipeline import state
from adventure.dashboard.sales import (
    campaign_metrics,
    metrics,
    notes,
    orders,
    over_time,
    review_metrics,
    support_metrics,
    to_date,
)
from adventure.dashboard.sales.scope import Scope
from adventure.dashboard.serve import environment
from adventure.destinations.duckdb.published import DuckDBDataset
from adventure.destinations.published import Query
from adventure.destinations.snowflake import published as snowflake_copy
from adventure.destinations.snowflake.published import SCHEMA, SnowflakeDataset, read_connection
from adventure.destinations.snowflake.scripts import split
from adventure.destinations.snowflake.session import connect_snowflake
from adventure.destinations.snowflake.warehouse import SnowflakeWarehouse
from adventure.factory import open_sales
from tests.snowflake import account
from tests.snowflake.emulator import Emulator, staged_path
from tests.snowflake.pair import Pair
from tools.charts import charts, nothing_published, worksheet

pytestmark = pytest.mark.slow

NOW = utc_now()
TODAY = NOW.date()
APP_TIMEOUT_SEC = 180


@dataclass(frozen=True)
class Published:
    """What both warehouses published of the same sales."""

    pair: Pair
    sales: tuple[DuckDBDataset, SnowflakeDataset]
    report: tuple[DuckDBDataset, SnowflakeDataset]

    def in_both(self, statement: str, values: Any) -> pd.DataFrame:
        """A `Query` that asks both for sales, and holds their answers against each other."""
        ours, theirs = (copy.query(statement, values) for copy in self.sales)
        assert list(theirs.columns) == list(ours.columns)
        assert _rows(theirs, statement) == _rows(ours, statement)
        return ours


@pytest.fixture(scope="module")
def published(pair: Pair) -> Iterator[Published]:
    account.deploy_dashboard(pair.snowflake)
    theirs = SnowflakeWarehouse(pair.snowflake)
    assert theirs.publish() == pair.embedded.publish()
    for warehouse in (theirs, pair.embedded):
        warehouse.publish_report(pair.streams, interval=None)
    with connect_snowflake(pair.snowflake, schema=SCHEMA) as connection:
        yield Published(
            pair,
            (
                DuckDBDataset(pair.settings.published_path, ""),
                SnowflakeDataset("publication", "built_at", "", partial(read_connection, connection)),
            ),
            (
                DuckDBDataset(pair.settings.report_path, ""),
                SnowflakeDataset("report", "written_at", "", partial(read_connection, connection)),
            ),
        )


SCOPES = {
    "30 days": Scope(TODAY - timedelta(29), TODAY),
    "all days": Scope(date(2011, 1, 1), TODAY),
    "one country": Scope(date(2011, 1, 1), TODAY, ("United States",)),
    "countries and a channel": Scope(date(2011, 1, 1), TODAY, ("United States", "Canada"), ("online",)),
    "no days": Scope(date(1999, 1, 1), date(1999, 1, 30)),
}


def _selection(scope: Scope) -> orders.Selection:
    chosen = {"country": scope.countries, "channel": scope.channels}
    return orders.Selection(scope.first, scope.last, "Europe/Berlin", chosen)  # type: ignore[arg-type]


METRICS: dict[str, Callable[[Query, Scope], object]] = {
    "total": metrics.total,
    "sparkline": lambda query, scope: over_time.sparkline(query, scope, TODAY),
    "country_by_channel": lambda query, scope: metrics.country_by_channel(query, scope, "revenue"),
    "top_products": lambda query, scope: metrics.top_products(query, scope, "revenue"),
    "top_products_by_units": lambda query, scope: metrics.top_products(query, scope, "units"),
    "chats": support_metrics.chats,
    "chats_beside_orders": lambda query, scope: support_metrics.chats_and_orders(query, scope, "day", NOW),
    "campaigns": campaign_metrics.campaigns,
    "reviews": review_metrics.total,
    "reviews_over_time": lambda query, scope: review_metrics.over_time(query, scope, "week", NOW),
    "falling_products": lambda query, scope: review_metrics.falling_products(query, scope, TODAY),
    "newest_reviews": review_metrics.newest,
    "options": lambda query, scope: [metrics.options(query, "country"), metrics.options(query, "channel")],
    "order_options": lambda query, scope: [orders.options(query, name) for name in orders.DIMENSIONS],
    "order_totals": lambda query, scope: [orders.total(query, _selection(scope)), orders.listed_from(query, "UTC")],
    "bounds": lambda query, scope: [metrics.bounds(query), campaign_metrics.campaign_bounds(query)],
    "to_date": lambda query, scope: to_date.to_date(query, scope, "revenue", NOW, TODAY, date(2011, 5, 31)),
    "forecast": lambda query, scope: to_date.forecast(query, scope, "orders", NOW, TODAY),
    "notes": lambda query, scope: [
        notes.unusual_days(query, scope),
        notes.annotations(query, scope),
        notes.targets(query, TODAY),
    ],
    "descriptions": lambda query, scope: metrics.descriptions(query),
}
for _by in orders.DIMENSIONS:
    METRICS[f"orders by {_by}"] = lambda query, scope, by=_by: orders.breakdown(  # type: ignore[misc]
        query, _selection(scope), by, "revenue"
    )
for _of in ("orders", "lines"):
    METRICS[_of] = lambda query, scope, of=_of: [  # type: ignore[misc]
        orders.count_lines(query, _selection(scope)),
        *(
            _plain(orders.rows(query, replace(_selection(scope), **changes), of, 40, 10))  # type: ignore[arg-type]
            for changes in ({}, {"search": "a"}, {"chosen": {"category": ("Bikes", "Clothing")}})
        ),
    ]
for _segment in metrics.SEGMENTS:
    for _measure in metrics.MEASURES:
        METRICS[f"{_measure} by week and {_segment}"] = lambda query, scope, s=_segment, m=_measure: over_time.series(  # type: ignore[misc]
            query, scope, s, m, "week", NOW
        )
    METRICS[f"change by {_segment}"] = lambda query, scope, s=_segment: metrics.contributions(  # type: ignore[misc]
        query, scope, s, "revenue", TODAY
    )


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_the_same(published: Published, metric: str, scope: str) -> None:
    ask = METRICS[metric]
    ask(published.in_both, SCOPES[scope])
    ours, theirs = (_plain(ask(copy.query, SCOPES[scope])) for copy in published.sales)
    assert theirs == ours


def test_there_is_something_to_compare(published: Published) -> None:
    for name in ("total", "chats", "campaigns", "top_products", "country_by_channel", "newest_reviews"):
        assert _plain(METRICS[name](published.in_both, SCOPES["all days"]))
    assert metrics.total(published.in_both, SCOPES["30 days"]).orders
    assert review_metrics.total(published.in_both, SCOPES["30 days"]).reviews


@pytest.fixture(scope="module")
def worksheets() -> dict[str, str]:
    with nothing_published() as query:
        return {name: worksheet(chart, query) for name, chart in charts().items()}


@pytest.mark.parametrize("name", charts())
def test_a_worksheet_answers_as_the_app_does(published: Published, worksheets: dict[str, str], name: str) -> None:
    text = worksheets[name]
    known = {"first_day": TODAY - timedelta(29), "end_day": TODAY + timedelta(1), "before_day": TODAY - timedelta(59)}
    database = published.pair.snowflake.snowflake_database
    ours = published.sales[0] if "Sales page" in text else published.report[0]
    asked = 0
    with connect_snowflake(published.pair.snowflake) as connection:
        dataset = SnowflakeDataset("worksheet", "", "", partial(read_connection, connection))
        for statement in split(text):
            theirs = dataset.query(statement.replace("ADVENTURE.DASHBOARD", f"{database}.dashboard"))
            if statement.startswith(("select", "with")):
                for variable, day in known.items():
                    statement = statement.replace(f"${variable}", f"date '{day}'")
                if name == "credits":  # nothing of DuckDB's
                    asked += 1
                    continue
                expected = ours.query(statement)
                assert list(theirs.columns) == list(expected.columns)
                if ours is published.sales[0]:
                    assert _rows(theirs, statement) == _rows(expected, statement)
                asked += 1
    assert asked


def test_the_pipelines_state_is_the_same_but_for_its_moments(published: Published) -> None:
    ours, theirs = (state.read(copy.query) for copy in published.report)
    assert {model.model: model for model in theirs.models} == {model.model: model for model in ours.models}
    assert {(test.test, test.outcome, test.rows) for test in theirs.report.tests} == {
        (test.test, test.outcome, test.rows) for test in ours.report.tests
    }
    assert theirs.tests_run == ours.tests_run > 0
    for mine, its in zip(ours.report.streams, theirs.report.streams, strict=True):
        for name in ("stream", "source", "source_table", "stage", "raw_table", "raw_rows", "windows_waiting", "damaged",
                     "watermark", "horizon", "mode", "rows_loaded", "rows_rejected"):  # fmt: skip
            assert getattr(its, name) == getattr(mine, name), (mine.stream, name)
    assert [(r.stream, r.reason, r.rows) for r in theirs.rejected] == [
        (r.stream, r.reason, r.rows) for r in ours.rejected
    ]
    for query in (state.cycles, state.lateness):
        our_frame, their_frame = (query(copy.query) for copy in published.report)
        assert _rows(their_frame) == _rows(our_frame)
    failing = [test.test for test in ours.report.tests if test.audit_table]
    assert failing
    for test in failing:
        our_frame, their_frame = (state.failing_rows(copy.query, test) for copy in published.report)
        assert len(their_frame) == len(our_frame)


def test_credits_are_added_up_by_day_of_the_warehouse_that_asks(published: Published) -> None:
    today = utc_now().replace(hour=1, minute=0, second=0, microsecond=0)
    _meter(
        published,
        ("ADVENTURE_WH", today, 0.25),
        ("ADVENTURE_WH", today - timedelta(hours=2), 0.5),
        ("ADVENTURE_WH", today - timedelta(hours=3), 0.125),
        ("OTHER_WH", today, 9),
        ("ADVENTURE_WH", today - timedelta(days=40), 9),
    )
    found = state.credits(published.report[1].query)
    assert found.to_dict("records") == [
        {"day": today.date() - timedelta(1), "credits": 0.625},
        {"day": today.date(), "credits": 0.25},
    ]


def _meter(published: Published, *hours: tuple[str, datetime, float]) -> None:
    session = published.pair.session
    session.sql("delete from account.warehouse_metering_history").collect()
    for warehouse, begun, used in hours:
        session.sql(
            f"insert into account.warehouse_metering_history values ('{warehouse}', '{begun}+00:00', {used})"
        ).collect()


def test_a_laptop_reads_the_same_over_the_connector(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(published.pair.snowflake).items():
        monkeypatch.setenv(name, value)
    snowflake_copy.signed_in.cache_clear()
    copy = open_sales()
    try:
        assert (copy.is_metered, copy.published_at()) == (True, published.sales[1].published_at())
        assert metrics.total(copy.query, SCOPES["all days"]) == metrics.total(
            published.sales[0].query, SCOPES["all days"]
        )
    finally:
        snowflake_copy.signed_in().close()
        snowflake_copy.signed_in.cache_clear()


def test_nothing_is_shown_before_something_is_published(snowflake_settings: Settings) -> None:
    account.create_tables(snowflake_settings)
    account.deploy_dashboard(snowflake_settings)
    with connect_snowflake(snowflake_settings, schema=SCHEMA) as connection:
        copy = SnowflakeDataset("publication", "built_at", "", partial(read_connection, connection))
        assert copy.version() is None
    with pytest.raises(WarehouseError, match=r"manifest.json is missing. Run `adventure build`"):
        SnowflakeWarehouse(snowflake_settings).publish()


def test_a_schema_that_is_not_there_is_one_sentence(snowflake_settings: Settings) -> None:
    with connect_snowflake(snowflake_settings, schema=SCHEMA) as connection:
        copy = SnowflakeDataset("absent", "built_at", "", partial(read_connection, connection))
        with pytest.raises(WarehouseError, match=r"(?s)gave no answer.*Run `adventure snowflake deploy`"):
            copy.version()


def test_what_is_published_does_not_change_with_the_models(published: Published) -> None:
    before = published.sales[1].query("select count(*) as n from customers_by_day")["n"][0]
    session = published.pair.session
    session.sql("create table dbt_prod.kept as select * from dbt_prod.customers_by_day").collect()
    session.sql("delete from dbt_prod.customers_by_day").collect()
    try:
        assert published.sales[1].query("select count(*) as n from customers_by_day")["n"][0] == before > 0
    finally:
        session.sql("insert into dbt_prod.customers_by_day select * from dbt_prod.kept").collect()
        session.sql("drop table dbt_prod.kept").collect()


_AS_SNOWFLAKE_RUNS_IT = r"""
import importlib.metadata as metadata, json, re, sys, types, warnings
warnings.simplefilter("ignore")
import snowflake.connector
from snowflake import connector

folder, arguments = sys.argv[1], json.loads(sys.argv[2])
connection = connector.connect(**arguments, paramstyle="qmark")

# What Streamlit brings along, and nothing else of what is installed here.
def brought(name, seen):
    name = re.split(r"[^\w.-]", name)[0].lower().replace("_", "-")
    if name in seen:
        return
    try:
        needs = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return
    seen.add(name)
    for need in needs:
        if "extra ==" not in need:
            brought(need, seen)

distributions = set()
brought("streamlit", distributions)
allowed = {
    module for module, names in metadata.packages_distributions().items()
    if {name.lower().replace("_", "-") for name in names} & distributions
} | {"adventure", "snowflake"} | set(sys.stdlib_module_names)

# A data frame of Snowpark: the names and the types that its schema has, and its rows.
class Frame:
    def __init__(self, statement, params):
        cursor = connection.cursor()
        cursor.execute(statement, params)
        self.rows = cursor.fetchall()
        self.schema = types.SimpleNamespace(fields=[field(*column) for column in cursor.description])

    def collect(self):
        return self.rows

CLASSES = {1: "DoubleType", 2: "StringType", 3: "DateType", 4: "TimestampType", 5: "VariantType", 6: "TimestampType",
           7: "TimestampType", 8: "TimestampType", 13: "BooleanType"}

def field(name, code, _, __, ___, scale, *____):
    kind = ("DecimalType" if scale else "LongType") if code == 0 else CLASSES.get(code, "StringType")
    made = type(kind, (), {"scale": scale, "tz": {6: "ltz", 7: "tz"}.get(code, "ntz")})()
    return types.SimpleNamespace(name=name if name.isupper() else f'"{name}"', datatype=made)

session = types.ModuleType("snowflake.snowpark.context")
session.get_active_session = lambda: types.SimpleNamespace(sql=lambda statement, params=None: Frame(statement, params))
sys.modules["snowflake.snowpark"] = types.ModuleType("snowflake.snowpark")
sys.modules["snowflake.snowpark.context"] = session

refused = []
class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in allowed:
            refused.append(name)
            raise ModuleNotFoundError(f"Snowflake has no {name}", name=name)

sys.meta_path.insert(0, Refusing())
sys.path.insert(0, folder)
from streamlit.testing.v1 import AppTest

def told(test):
    test.run(timeout=120)
    return {
        "exceptions": [f"{e.message} {e.stack_trace}" for e in test.exception],
        "errors": [e.value for e in test.error],
        "titles": [title.value for title in test.title],
        "subheaders": [header.value for header in test.subheader],
        "metrics": {metric.label: metric.value for metric in test.metric},
        "captions": [caption.value for caption in test.caption],
    }

found = {"sales": told(AppTest.from_file(folder + "/streamlit_app.py"))}
found["orders"] = told(AppTest.from_string("from adventure.dashboard.sales import orders_page\norders_page.show()"))
found["pipeline"] = told(AppTest.from_string("from adventure.dashboard.pipeline import page\npage.show()"))
import adventure
found["from"] = adventure.__file__
found["refused"] = refused
print("\n" + json.dumps(found, default=str))
"""


@pytest.fixture(scope="module")
def shown(published: Published, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the app shows when it is run from its staged files, where nothing is installed but Streamlit."""
    folder = tmp_path_factory.mktemp("app")
    _meter(published, ("ADVENTURE_WH", utc_now(), 1.5))
    database = published.pair.snowflake.snowflake_database
    for name, *_ in published.pair.session.sql("list @dashboard.app_files").collect():
        path = name.partition("/")[2]
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(staged_path(f"@dashboard.APP_FILES/{path}", database).read_bytes())
    arguments: dict[str, Any] = {"user": "fake", "password": "snow", "account": "fakesnow", "protocol": "http"}
    arguments |= {"host": "127.0.0.1", "port": emulator.port, "database": database, "schema": SCHEMA}
    ended = subprocess.run(
        [sys.executable, "-c", _AS_SNOWFLAKE_RUNS_IT, str(folder), json.dumps(arguments)],
        capture_output=True,
        text=True,
        timeout=APP_TIMEOUT_SEC,
        cwd=folder,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    assert found["from"].startswith(str(folder)), "another one than what was staged"
    return found


@pytest.mark.parametrize("page", ["sales", "orders", "pipeline"])
def test_all_pages_are_drawn_from_the_staged_files(shown: dict[str, Any], page: str) -> None:
    assert shown[page]["exceptions"] == []
    assert shown[page]["titles"] == [page.capitalize()]
    assert not [error for error in shown[page]["errors"] if "answer" in error]


def test_credits_are_on_the_page_where_they_are_metered(shown: dict[str, Any]) -> None:
    assert "Snowflake credits used" in shown["pipeline"]["subheaders"]
    assert "1.50 credits in the last 30 days." in shown["pipeline"]["captions"]


def test_no_credits_are_on_the_page_where_nothing_is_metered(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(published.pair.settings).items():
        monkeypatch.setenv(name, value)
    page = AppTest.from_string("from adventure.dashboard.pipeline import page\npage.show()").run(timeout=60)
    assert not page.exception
    shown = [header.value for header in page.subheader]
    assert "Tasks" in shown
    assert "Snowflake credits used" not in shown


def test_the_cards_show_what_duckdb_holds(published: Published, shown: dict[str, Any]) -> None:
    total = metrics.total(published.sales[0].query, SCOPES["30 days"])
    cards = shown["sales"]["metrics"]
    assert cards["Revenue"] == format.money(total.revenue)
    assert cards["Orders"] == format.count(total.orders)
    assert cards["Customers"] == format.count(total.customers)
    assert cards["Reviews"] == format.count(review_metrics.total(published.sales[0].query, SCOPES["30 days"]).reviews)
    assert shown["orders"]["metrics"]["Orders"] == format.count(total.orders)


def _rows(frame: pd.DataFrame, statement: str = "") -> list[tuple[Any, ...]]:
    rows = [tuple(_value(value) for value in row) for row in frame.itertuples(index=False)]
    return rows if "order by" in statement else sorted(rows, key=str)


def _plain(found: object) -> object:
    if isinstance(found, pd.DataFrame):
        return [list(found.columns), _rows(found.reset_index(), "order by")]
    return found


def _value(value: Any) -> Any:
    """Of whatever type a number is."""
    if value is None or value is pd.NaT or (isinstance(value, float | Decimal) and value != value):
        return None
    if isinstance(value, bool | str):
        return value
    if isinstance(value, datetime | date):
        return pd.Timestamp(value)
    return Decimal(str(value)).normalize() if not isinstance(value, float) else Decimal(repr(value)).normalize()
