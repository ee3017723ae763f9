"""Test the dbt project: its unit tests, builds on empty tables, and complete documentation."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.dbt.conftest import DBT, Project, line, new_project, order
from tools.lineage import read_drawn, read_graph


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, dbt_folder: Path) -> Project:
    """A project built on empty tables, without history or live sales."""
    project = new_project(tmp_path_factory.mktemp("warehouse"), dbt_folder)
    project.build()
    return project


@pytest.fixture(scope="module")
def manifest(empty: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All nodes, with the models of the reviews, which exist where API_URL is set."""
    whole = Project(empty.path, tmp_path_factory.mktemp("whole"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("API_URL", "http://127.0.0.1/v1")
        whole.dbt("parse")
    loaded: dict[str, Any] = json.loads((whole.folder / "target" / "manifest.json").read_text(encoding="utf-8"))
    return loaded


@pytest.mark.slow
def test_it_builds_on_empty_tables_and_without_a_history(empty: Project) -> None:
    assert empty.table("sales_last_30_days") == []
    empty.load(orders=[order("a")], lines=[line("a1", "a")])
    empty.build()
    assert empty.query("select country, loyalty, orders, units from dbt_prod.sales_last_30_days") == [
        ("Unknown", "first-time", 1, 1)
    ]


def test_dbt_unit_tests_pass(empty: Project) -> None:
    empty.dbt("test", "--select", "test_type:unit")
    assert {"a_delete_holds_until_a_later_version", "lines_nest_in_a_stable_order"} <= set(empty.statuses)


def test_every_model_and_column_is_described(empty: Project, manifest: dict[str, Any]) -> None:
    columns = empty.query(
        "select table_name, column_name from information_schema.columns where table_schema = 'dbt_prod' order by all"
    )
    described = {
        (node["name"], column)
        for node in manifest["nodes"].values()
        for column, properties in node.get("columns", {}).items()
        if properties["description"]
    }
    assert [f"{table}.{column}" for table, column in columns if (table, column) not in described] == []
    nodes = [node for node in manifest["nodes"].values() if node["resource_type"] in ("model", "seed")]
    assert [node["name"] for node in nodes if not node["description"]] == []


def test_every_model_is_in_the_document_of_the_models(manifest: dict[str, Any]) -> None:
    document = (DBT.parent / "docs" / "models.md").read_text(encoding="utf-8")
    models = [node["name"] for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    assert [name for name in models if f"\n| {name} | " not in document] == []
    others = [node["name"] for node in manifest["nodes"].values() if node["resource_type"] in ("seed", "analysis")]
    assert [name for name in others if f"`{name}`" not in document] == []


def test_every_test_and_analysis_of_the_document_exists(manifest: dict[str, Any]) -> None:
    document = (DBT.parent / "docs" / "models.md").read_text(encoding="utf-8")
    faults = document[document.index("## Bad data in the sources") : document.index("### Severity of the tests")]
    named = {name for row in re.findall(r"^\|[^|]*\|([^|]*)\|", faults, re.MULTILINE) for name in row.split(", ")}
    tests = {node["name"] for node in manifest["nodes"].values() if node["resource_type"] == "test"}
    assert {name.strip() for name in named} - {"test", "---"} <= tests


def test_dispatched_macros_exist_for_both_warehouses() -> None:
    macros = "".join(path.read_text(encoding="utf-8") for path in (DBT / "macros").glob("*.sql"))
    forms = {warehouse: set(re.findall(rf"macro {warehouse}__(\w+)", macros)) for warehouse in ("duckdb", "snowflake")}
    assert forms["duckdb"]
    assert forms["duckdb"] == forms["snowflake"]


def test_live_sources_are_stale_after_hours(tmp_path: Path, dbt_folder: Path) -> None:
    project = new_project(tmp_path, dbt_folder)
    loaded_at = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=7)
    project.insert("raw_ext.orders_raw", [{"sales_order_id": "a", "_loaded_at": loaded_at}])
    project.insert("raw_ext.chat_logs_raw", [{"raw": "{}", "_loaded_at": loaded_at}])
    project.dbt("source", "freshness", "--select", "source:raw_ext.orders_raw", "source:raw_ext.chat_logs_raw")
    assert project.statuses == {"orders_raw": "warn", "chat_logs_raw": "pass"}


def test_staging_and_marts_have_contracts(manifest: dict[str, Any]) -> None:
    models = [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]
    promised = [node for node in models if node["fqn"][1] in ("staging", "marts")]
    assert promised
    assert [node["name"] for node in promised if not node["contract"]["enforced"]] == []


def test_the_exposures_name_every_mart_that_the_dashboard_reads(manifest: dict[str, Any]) -> None:
    marts = [node for node in manifest["nodes"].values() if node["resource_type"] == "model" and "marts" in node["fqn"]]
    queries = "".join(
        path.read_text(encoding="utf-8") for path in (DBT.parent / "adventure" / "dashboard").rglob("*.py")
    )
    read = {node["name"] for node in marts if re.search(rf"\b(from|join) {node['name']}\b", queries)}
    exposed = {
        key.split(".")[-1] for exposure in manifest["exposures"].values() for key in exposure["depends_on"]["nodes"]
    }
    assert {"reviews_by_day", "latest_reviews"} <= read
    assert read - exposed == set()


def test_the_lineage_matches_the_models(manifest: dict[str, Any]) -> None:
    page = (DBT.parent / "docs" / "lineage.md").read_text(encoding="utf-8")
    assert read_drawn(page) == read_graph(manifest)[0], "Run make lineage"
