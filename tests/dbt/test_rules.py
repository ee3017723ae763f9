"""Tests that check several rules at once name each broken rule, with its value, the number of rows and a key."""

from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from tests.dbt.conftest import NOON, Project, line, new_project, order

pytestmark = pytest.mark.slow

AUDIT = "dbt_prod_dbt_test__audit"
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> Project:
    """Three orders with a line each, built without a failure."""
    project = new_project(tmp_path_factory.mktemp("rules"), dbt_folder)
    project.load(orders=[order(key) for key in "abc"], lines=[line(f"{key}1", key) for key in "abc"])
    project.build_models()
    return project


def failures(project: Project, test: str, *breaks: str) -> list[tuple[object, ...]]:
    """Run the test after these statements; return the rows that it stored, and undo the statements."""
    table = breaks[0].split()[1]
    with duckdb.connect(str(project.path)) as connection:
        connection.execute(f"create or replace table kept as from {table}")
        for statement in breaks:
            connection.execute(statement)
    try:
        with pytest.raises(AssertionError, match=test):
            project.dbt("test", "--select", test)
        return project.query(f"select * from {AUDIT}.{test} order by all")
    finally:
        with duckdb.connect(str(project.path)) as connection:
            connection.execute(f"delete from {table}")
            connection.execute(f"insert into {table} from kept")


def test_each_broken_rule_of_a_key_and_a_column_is_a_row(project: Project) -> None:
    table = "dbt_prod.recent_orders"
    assert failures(
        project,
        "recent_orders_are_whole",
        f"update {table} set customer_id = null, search_text = null where sales_order_id = 'a'",
        f"update {table} set customer_id = null where sales_order_id = 'b'",
        f"update {table} set sales_order_id = 'b' where sales_order_id = 'c'",
    ) == [
        ("customer_id is NULL; ", 1, "b"),
        ("customer_id is NULL; search_text is NULL; ", 1, "a"),
        ("sales_order_id occurs more than once; ", 2, "b"),
    ]
    assert failures(
        project, "recent_orders_are_whole", f"update {table} set recency = null where sales_order_id = 'a'"
    ) == [("recency is NULL; ", 1, "a")]


def test_a_value_that_is_not_accepted_is_named(project: Project) -> None:
    assert failures(
        project,
        "sales_last_30_days_are_whole",
        "update dbt_prod.sales_last_30_days set channel = 'it''s a shop'",
    ) == [("channel is it's a shop; ", 2, str(NOON))]


def test_an_expression_that_does_not_hold_is_named(project: Project) -> None:
    table = "dbt_prod.customers_by_day"
    assert failures(
        project,
        "customers_by_day_are_whole",
        f"update {table} set previous_order_day = order_day where channel = 'any'",
    ) == [("not: previous_order_day < order_day; ", 1, str(NOON.date()))]


def test_a_line_of_unknown_rows_names_each_of_them(project: Project) -> None:
    project.dbt("test", "--select", "lines_refer_to_known_rows")
    assert project.statuses == {"lines_refer_to_known_rows": "warn"}
    found = project.query(f"select distinct broken_rules from {AUDIT}.lines_refer_to_known_rows")
    assert found == [("unknown customer_id; unknown product_id; ",)]
    project.insert("dbt_prod.dim_products", [{"product_id": "707"}])
    project.insert("dbt_prod.dim_customers", [{"customer_id": "11000"}])
    project.dbt("test", "--select", "lines_refer_to_known_rows")
    assert project.statuses == {"lines_refer_to_known_rows": "pass"}


def test_listed_orders_of_an_earlier_version_are_built_again(project: Project) -> None:
    """The tables were rebuilt each time, and had no hour."""
    tables = ("recent_orders", "recent_order_lines")
    before = {
        name: project.query(f"select * exclude (_loaded_at) from dbt_prod.{name} order by all") for name in tables
    }
    with duckdb.connect(str(project.path)) as connection:
        for name in tables:
            connection.execute(f"alter table dbt_prod.{name} drop column order_hour")
            connection.execute(f"alter table dbt_prod.{name} drop column _loaded_at")
    project.build_models("--select", *tables)
    for name in tables:
        assert project.query(f"select * exclude (_loaded_at) from dbt_prod.{name} order by all") == before[name]


def test_only_the_hours_that_changed_are_listed_again(tmp_path: Path, dbt_folder: Path) -> None:
    project = new_project(tmp_path, dbt_folder)
    models = ("--select", "source:raw_ext+")
    placed = {"a": NOON, "b": NOON, "c": NOON + HOUR, "d": NOON + 2 * HOUR}
    project.load(
        orders=[order(key, order_date=at) for key, at in placed.items()], lines=[line(f"{key}1", key) for key in placed]
    )
    project.build_models()
    listed = "select sales_order_id from dbt_prod.{} order by recency"
    assert project.query(listed.format("recent_orders")) == [("d",), ("c",), ("a",), ("b",)]
    with duckdb.connect(str(project.path)) as connection:
        connection.execute("update dbt_prod.recent_orders set salesperson = 'as before'")
        connection.execute("update dbt_prod.recent_order_lines set product = 'as before'")
    # One more order in an hour of two, and an hour that loses its only order.
    project.load(
        orders=[
            order("between", order_date=NOON + HOUR / 2),
            {"sales_order_id": "d", "last_modified": NOON + 3 * HOUR, "_deleted_at": NOON + 3 * HOUR},
        ],
        lines=[line("between1", "between")],
    )
    project.build_models(*models)
    kept = [("c", True), ("between", False), ("a", False), ("b", False)]
    for name, column in (("recent_orders", "salesperson"), ("recent_order_lines", "product")):
        found = f"select sales_order_id, {column} = 'as before' from dbt_prod.{name} order by recency"
        assert project.query(found) == kept, name
