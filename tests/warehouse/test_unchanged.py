"""What an increment leaves out: nodes that read only tables to which nothing was loaded since the last build."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import BuildFailed
from adventure.core.pipeline_file import load_streams
from adventure.destinations.common import unchanged
from adventure.destinations.common.selection import LoadedTables, read_loaded_tables
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse as Warehouse
from adventure.factory import open_warehouse

PARENTS = {
    "model.p.base_orders": ["source.p.raw.orders"],
    "model.p.base_chats": ["source.p.raw.chats"],
    "model.p.stg_orders": ["model.p.base_orders"],
    "model.p.fct_chats": ["model.p.base_chats", "model.p.dim_products"],
    "model.p.both": ["model.p.stg_orders", "model.p.fct_chats"],
    "model.p.dim_products": ["source.p.shop.products"],
    "model.p.accounts": ["source.p.crm.accounts"],
    "model.p.files": ["source.p.raw.load_history"],
    "test.p.not_null_orders": ["model.p.base_orders"],
    "test.p.chats_have_orders": ["model.p.base_chats", "model.p.stg_orders"],
    "test.p.not_null_chats": ["model.p.base_chats"],
}
PROFILE = """
adventure:
  outputs:
    duckdb: {type: duckdb, path: "{{ env_var('ADVENTURE_DUCKDB_PATH') }}", schema: made, threads: 1}
"""
SOURCES = "{sources: [{name: raw, schema: raw_ext, tables: [{name: orders_raw}, {name: chat_logs_raw}]}]}"
UNIT_TESTS = """
unit_tests:
  - name: no_orders
    model: orders
    given: [{input: "source('raw', 'orders_raw')", rows: []}]
    expect: {rows: [{number: 0}]}
"""
ALWAYS = {"accounts", "files"}
"""Of a table that no stream loads, and of the pipeline's own."""
OF_ORDERS = {"base_orders", "stg_orders", "both", "not_null_orders", "chats_have_orders"}
OF_CHATS = {"base_chats", "fct_chats", "both", "chats_have_orders", "not_null_chats"}


def manifest() -> dict[str, Any]:
    sources = {parent for parents in PARENTS.values() for parent in parents if parent.startswith("source")}
    own = {"raw": "RAW_EXT", "shop": "shop", "crm": "crm"}
    return {
        "nodes": {name: {"tags": ["static"] if name.endswith("dim_products") else []} for name in PARENTS},
        "sources": {name: {"schema": own[name.split(".")[2]], "identifier": name.split(".")[3]} for name in sources},
        "parent_map": PARENTS,
    }


def tables(**stamps: int) -> LoadedTables:
    named = {f"raw_ext.{name}": stamp for name, stamp in stamps.items()}
    return LoadedTables(frozenset({"raw_ext"}), frozenset(named), named)


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    unchanged.forget()
    yield
    unchanged.forget()


@pytest.mark.parametrize(
    ("orders", "chats", "found"),
    [
        (1, 1, ALWAYS),
        (2, 1, ALWAYS | OF_ORDERS),
        (1, 2, ALWAYS | OF_CHATS),
        (0, 1, ALWAYS | OF_ORDERS),
        (2, 2, ALWAYS | OF_ORDERS | OF_CHATS),
    ],
)
def test_a_node_is_left_out_only_if_nothing_was_loaded_into_all_its_tables(
    orders: int, chats: int, found: Collection[str]
) -> None:
    increment = [name for name in PARENTS if not name.endswith("dim_products")]
    unchanged.remember("project", tables(orders=1, chats=1, load_history=1), increment)
    last = unchanged.last_build("project")
    assert last is not None
    now = tables(orders=orders, chats=chats, load_history=1)
    chosen = unchanged.changed_nodes(manifest(), last, now)
    assert {name.split(".")[2] for name in chosen} == found


def test_another_project_and_a_failed_build_leave_out_nothing() -> None:
    unchanged.remember("project", tables(orders=1), ["model.p.base_orders"])
    assert unchanged.last_build("another project") is None
    unchanged.forget()
    assert unchanged.last_build("project") is None


def test_rows_that_no_load_added_change_a_table(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    warehouse, streams = open_warehouse(settings), load_streams(settings)
    before = read_loaded_tables(warehouse.execute, streams).stamps
    warehouse.execute("insert into raw_ext.orders_raw (sales_order_id, _loaded_at) values ('a', now()::timestamp)", [])
    after = read_loaded_tables(warehouse.execute, streams).stamps
    assert {name for name in before if before[name] != after[name]} == {"raw_ext.orders_raw", "raw_ext.orders_latest"}
    assert "raw_ext.order_details_raw" in before


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """A warehouse with a project of two tables, each with a test, one test of both, and a unit test, which no build runs."""
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    (folder / "tests").mkdir()
    (folder / "dbt_project.yml").write_text("{name: small, profile: adventure, models: {+materialized: table}}")
    (folder / "profiles.yml").write_text(PROFILE)
    (folder / "models" / "sources.yml").write_text(SOURCES)
    for name, table in (("orders", "orders_raw"), ("chats", "chat_logs_raw")):
        select = f"select count(*) as number from {{{{ source('raw', '{table}') }}}}"
        (folder / "models" / f"{name}.sql").write_text(select)
        (folder / "tests" / f"{name}_are_few.sql").write_text(f"select * from {{{{ ref('{name}') }}}} where number > 5")
    (folder / "models" / "unit_tests.yml").write_text(UNIT_TESTS)
    both = "select * from {{ ref('orders') }} cross join {{ ref('chats') }} where false"
    (folder / "tests" / "both.sql").write_text(both)
    return Warehouse(load_settings(data_dir=tmp_path / "data", dbt_dir=folder))


def built(warehouse: Warehouse, data: Path) -> set[str]:
    """Build; return the names of the models and tests that ran."""
    warehouse.build(load_streams(load_settings()))
    results = json.loads((data / "dbt" / "target" / "run_results.json").read_text())["results"]
    return {result["unique_id"].split(".")[2] for result in results}


@pytest.mark.slow
def test_increments_build_and_test_what_reads_the_new_rows(warehouse: Warehouse, tmp_path: Path) -> None:
    data = tmp_path / "data"
    insert = "insert into raw_ext.{} (_file, _file_row, _loaded_at) values ('a', 1, timestamp '2026-01-01')"
    everything = {"orders", "chats", "orders_are_few", "chats_are_few", "both"}
    assert built(warehouse, data) == everything, "the first build is whole"
    assert built(warehouse, data) == everything, "what an increment contains is not known yet"
    warehouse.execute(insert.format("orders_raw"), [])
    assert built(warehouse, data) == {"orders", "orders_are_few", "both"}
    warehouse.execute(insert.format("chat_logs_raw"), [])
    assert built(warehouse, data) == {"chats", "chats_are_few", "both"}
    assert built(warehouse, data) == everything, "a build that was asked for without new rows"
    for _ in range(5):
        warehouse.execute(insert.format("orders_raw"), [])
    with pytest.raises(BuildFailed, match="orders_are_few"):
        built(warehouse, data)
    warehouse.execute(insert.format("chat_logs_raw"), [])
    with pytest.raises(BuildFailed, match="orders_are_few"):
        built(warehouse, data)
