"""Test the sales checks of `adventure check` on March 2013, and the same checks in the Snowflake worksheet."""

import shutil
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
import sqlglot

from adventure.core.environment import load_settings
from adventure.demo.history import create
from adventure.destinations.duckdb import kind as duckdb_kind
from adventure.destinations.snowflake import kind as snowflake
from adventure.destinations.snowflake.scripts import split
from adventure.factory import open_warehouse
from adventure.monitoring.checks import Check
from adventure.monitoring.checks.sales import LAST_30_DAYS, MARCH, sales_checks, statement
from adventure.monitoring.queries import run_queries
from tests.dbt.conftest import Project, line, new_project, order, today
from tools.worksheet import worksheet

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> Project:
    """The synthesised history with two live orders of three lines in all."""
    folder = tmp_path_factory.mktemp("checked_history")
    project = new_project(folder, dbt_folder)
    create(load_settings(data_dir=folder))
    project.load(orders=[order("a"), order("b")], lines=[line("a1", "a"), line("a2", "a"), line("b1", "b")])
    project.build_models()
    return project


def checks(path: Path, period: str) -> dict[str, Check]:
    found = sales_checks(open_warehouse(load_settings(data_dir=path.parent)), duckdb_kind.SALES_DIALECT)
    return {check.name: check for check in found if check.period == period}


def test_march_2013_has_its_known_figures(history: Project) -> None:
    found = checks(history.path, MARCH)
    assert {name: check.actual for name, check in found.items() if not check.holds} == {}
    assert found["orders: intermediate"].actual == "441"
    assert found["lines: marts"].actual == "2,613"
    assert found["lines per order"].actual == "5.925"
    assert found["not null: currency_rate_id"].actual == "0.442"
    assert len(found) == 9 + 1 + 27 + 9


def test_the_last_30_days_are_checked_too(history: Project) -> None:
    found = checks(history.path, LAST_30_DAYS)
    counts = {name: check.actual for name, check in found.items() if name.startswith(("orders: ", "lines"))}
    assert counts == {
        **{f"orders: {layer}": "2" for layer in ("raw", "base", "staging", "intermediate")},
        **{f"lines: {layer}": "3" for layer in ("raw", "base", "staging", "intermediate", "marts")},
        "lines per order": "1.500",
    }
    assert found["not null: delivery_estimate_days"].holds


def test_the_validation_queries_find_the_known_figures_of_march_2013(history: Project) -> None:
    columns, attributes = run_queries(load_settings(data_dir=history.path.parent))
    found = {figure.name: figure.found[MARCH] for figure in (*columns.figures, *attributes.figures)}
    known = {
        "orders": 441,
        "sales_order_id": 1,
        "comment": 0,
        "credit_card_id": 0.964,
        "currency_rate_id": 0.442,
        "lines": 2613,
        "lines_per_order": 5.925,
    }
    assert {name: found[name] for name in known} == known
    for figure in (*columns.figures, *attributes.figures):
        assert float(figure.expected[MARCH].replace(",", "")) == figure.found[MARCH], figure.name
    recent = {figure.name: figure.found[LAST_30_DAYS] for figure in attributes.figures}
    assert (recent["orders"], recent["lines"], recent["lines_per_order"]) == (2, 3, 1.5)


def test_the_validation_queries_count_the_day_30_days_ago(history: Project, tmp_path: Path) -> None:
    path = tmp_path / history.path.name
    shutil.copy(history.path, path)
    first = today() - timedelta(days=30)
    with duckdb.connect(str(path)) as connection:
        for order_id, placed in (("a", first), ("b", first - timedelta(microseconds=1))):
            connection.execute(
                "update dbt_prod.stg_real_time__sales_orders set order_date = ? where sales_order_id = ?",
                [placed, order_id],
            )
    for result in run_queries(load_settings(data_dir=tmp_path)):
        assert result.figures[0].found[LAST_30_DAYS] == 1
    assert checks(path, LAST_30_DAYS)["orders: staging"].actual == "0"


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (
            "delete from dbt_prod.base_ecom__sales_orders where sales_order_number ="
            " (select min(sales_order_number) from dbt_prod.base_ecom__sales_orders where order_date >= '2013-03-01')",
            {"orders: base", "orders: staging", "lines: base", "lines: staging"},
        ),
        (
            "update dbt_prod.base_ecom__sales_orders set delivery_estimate = 'soon' where order_date >= '2013-03-01'",
            {"not null: delivery_estimate_days"},
        ),
        (
            "update dbt_prod.base_ecom__sales_orders set sales_person_id = '1' where order_date < '2013-03-03'",
            {"not null: sales_person_id"},
        ),
        (
            "delete from ecom.sales_order_raw where raw->>'SalesOrderID' ="
            " (select min(sales_order_id) from dbt_prod.base_ecom__sales_orders where order_date >= '2013-03-01')",
            {"orders: raw", "lines: raw"},
        ),
    ],
    ids=["an order lost in base", "estimates not understood", "a column filled that is not", "an order lost in raw"],
)
def test_damage_in_march_is_found(history: Project, tmp_path: Path, damage: str, found: set[str]) -> None:
    path = tmp_path / history.path.name
    shutil.copy(history.path, path)
    with duckdb.connect(str(path)) as connection:
        connection.execute(damage)
    assert found <= {name for name, check in checks(path, MARCH).items() if check.failed}


@pytest.mark.parametrize(
    ("change", "spared"),
    [
        ("delete from dbt_prod.base_ecom__sales_orders where sales_order_id = '43659'", "lines per order"),
        ("update dbt_prod.base_ecom__sales_orders set delivery_estimate = null", "not null: delivery_estimate_days"),
    ],
    ids=["another history", "a column that it does not have"],
)
def test_checks_without_data_are_skipped(history: Project, tmp_path: Path, change: str, spared: str) -> None:
    path = tmp_path / history.path.name
    shutil.copy(history.path, path)
    with duckdb.connect(str(path)) as connection:
        connection.execute(change)
    assert checks(path, MARCH)[spared].holds is None
    assert not any(check.failed for check in checks(path, MARCH).values())


def test_the_worksheet_gives_the_same_results(history: Project) -> None:
    """Parse the worksheet as Snowflake SQL with sqlglot and run it on DuckDB; only its JSON access is replaced first."""
    *_, text = split(worksheet())
    for name in ("document_date", "document_lines"):
        assert snowflake.SALES_DIALECT[name] in text
        text = text.replace(snowflake.SALES_DIALECT[name], f"{name}(raw)")
    [translated] = sqlglot.transpile(text, read="snowflake", write="duckdb")
    with duckdb.connect(str(history.path), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        for name in ("document_date", "document_lines"):
            connection.execute(f"create temp macro {name}(raw) as {duckdb_kind.SALES_DIALECT[name]}")
        assert (
            connection.execute(translated).fetchall()
            == connection.execute(statement(duckdb_kind.SALES_DIALECT)).fetchall()
        )
