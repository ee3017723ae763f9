"""An order is nested again whenever one of its lines came or left, whenever its rows were loaded."""

from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from tests.dbt.conftest import NOON, Project, line, new_project, order, tombstone

pytestmark = pytest.mark.slow

MODELS = ("--select", "+fct_sales_order_lines")
BASES = ("base_real_time__order_details", "base_real_time__sales_orders")


def at(hours: int) -> dict[str, object]:
    return {"last_modified": NOON + timedelta(hours=hours)}


def lines_of(project: Project) -> list[tuple[str, str]]:
    """Return order and line of each row of the mart, after the tables were compared with those of a full refresh."""
    query = "select sales_order_id, sales_order_detail_id from dbt_prod.fct_sales_order_lines order by all"
    grown = project.query(query)
    project.build_models(*MODELS, "--full-refresh")
    assert project.query(query) == grown
    return [(str(key), str(line_id)) for key, line_id in grown]


@pytest.fixture
def project(tmp_path: Path, dbt_folder: Path) -> Project:
    """Two orders with a line each, and models that were built from them."""
    project = new_project(tmp_path, dbt_folder)
    project.load(orders=[order("a"), order("b")], lines=[line("a1", "a"), line("b1", "b")])
    project.build_models(*MODELS)
    return project


def test_a_line_that_moves_leaves_its_order(project: Project) -> None:
    project.load(lines=[line("a1", "b", **at(1))])
    project.build_models(*MODELS)
    assert lines_of(project) == [("b", "a1"), ("b", "b1")]


def test_a_line_that_moves_twice_between_two_builds_leaves_both_orders(project: Project) -> None:
    project.load(lines=[line("a1", "b", **at(1)), line("b1", "c", **at(1))])
    # A build that ends before the orders are nested.
    project.build_models("--select", *BASES)
    project.load(lines=[line("a1", "c", **at(2)), tombstone("sales_order_detail_id", "b1", NOON + timedelta(hours=2))])
    project.build_models(*MODELS)
    assert project.query("select count(*) from dbt_prod.fct_sales_order_lines") == [(0,)]
    project.load(orders=[order("c")])
    project.build_models(*MODELS)
    assert lines_of(project) == [("c", "a1")]


@pytest.mark.parametrize("read_first", BASES)
def test_loads_between_the_two_base_models_are_not_missed(project: Project, read_first: str) -> None:
    """The table that was read first has older rows, and the other one newer rows, when the orders are nested."""
    project.build_models("--select", read_first)
    if read_first == "base_real_time__order_details":
        project.load(lines=[line("a2", "a", **at(1))])
        project.load(orders=[order("b", **at(1))])
    else:
        project.load(orders=[order("c", **at(1))])
        project.load(lines=[line("b1", "b", order_qty=2, **at(1)), line("c1", "c")])
    [other] = set(BASES) - {read_first}
    project.build_models("--select", other, "stg_real_time__sales_orders", "fct_sales_order_lines")
    project.build_models(*MODELS)
    expected = {("a", "a1"), ("b", "b1"), ("a", "a2") if read_first == BASES[0] else ("c", "c1")}
    assert lines_of(project) == sorted(expected)


def test_a_table_with_one_mark_for_both_is_built_again(project: Project) -> None:
    """As an earlier version of the model has left it: with a line in two orders, and without a row that it missed."""
    mart = "dbt_prod.fct_sales_order_lines"
    with duckdb.connect(str(project.path)) as connection:
        connection.execute(
            f"insert into {mart} select * replace ('a' as sales_order_id) from {mart} where sales_order_id = 'b'"
        )
        for table in (mart, "dbt_prod.stg_real_time__sales_orders"):
            connection.execute(f"delete from {table} where sales_order_id = 'b'")
        for column in ("_order_loaded_at", "_lines_loaded_at"):
            connection.execute(f"alter table dbt_prod.stg_real_time__sales_orders drop column {column}")
    project.load(lines=[line("a2", "a")])
    project.build_models(*MODELS)
    assert lines_of(project) == [("a", "a1"), ("a", "a2"), ("b", "b1")]
