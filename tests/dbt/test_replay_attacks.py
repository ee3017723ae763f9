"""Projects in which a replay would give something else than dbt: there, dbt builds every time."""

import json
from pathlib import Path
from typing import Any

import pytest

from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.destinations.common import unchanged
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse as Warehouse

PROFILE = """
adventure:
  outputs:
    duckdb: {type: duckdb, path: "{{ env_var('ADVENTURE_DUCKDB_PATH') }}", schema: made, threads: 1}
"""
PROJECT = "name: small\nprofile: adventure\nmodels:\n  +materialized: table\n"
SOURCES = "{sources: [{name: raw, schema: raw_ext, tables: [{name: orders_raw}]}]}"
ORDERS = "select count(*) as number from {{ source('raw', 'orders_raw') }}"
INSERT = "insert into raw_ext.orders_raw (_file, _file_row, _loaded_at) values ('a', 1, timestamp '2026-01-01')"
BUILDS = 5
"""The first is whole, and dbt shows an increment in the next two."""


class Small:
    """A warehouse with a small project."""

    def __init__(self, folder: Path, files: dict[str, str]) -> None:
        shipped = {"dbt_project.yml": PROJECT, "profiles.yml": PROFILE, "models/sources.yml": SOURCES}
        for name, text in {**shipped, "models/orders.sql": ORDERS, **files}.items():
            path = folder / "project" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        unchanged.forget()
        self.target = folder / "data" / "dbt" / "target"
        self.warehouse = Warehouse(load_settings(data_dir=folder / "data", dbt_dir=folder / "project"))
        self.replayed = 0
        """How many builds did without dbt."""

    def build(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """Load a row and build; return the results by name."""
        self.warehouse.execute(INSERT)
        run = type(self.warehouse._replay).run

        def noting(*arguments: Any) -> Any:
            results = run(*arguments)
            self.replayed += results is not None
            return results

        with monkeypatch.context() as patch:
            patch.setattr(type(self.warehouse._replay), "run", noting)
            self.warehouse.build(load_streams(load_settings()))
        results = json.loads((self.target / "run_results.json").read_text())["results"]
        return {each["unique_id"].split(".", 2)[2]: each for each in results}


HOOKS = """
on-run-start: ["create table if not exists main.audit (text varchar, number int)"]
on-run-end: ["insert into main.audit select 'end', number from made.orders"]
"""


@pytest.mark.slow
def test_hooks_of_the_project_run_in_every_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Small(tmp_path, {"dbt_project.yml": PROJECT + HOOKS})
    for _ in range(BUILDS):
        small.build(monkeypatch)
    expected = [("end", number) for number in range(1, BUILDS + 1)]
    assert small.warehouse.execute("select * from main.audit order by number") == expected


@pytest.mark.slow
def test_a_model_that_reads_the_catalog_is_built_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = "select (select count(*) from duckdb_databases()) as held, number from {{ ref('orders') }}"
    small = Small(tmp_path, {"models/catalog.sql": catalog})
    for number in range(1, BUILDS + 1):
        small.build(monkeypatch)
        assert small.warehouse.execute("select number from made.catalog") == [(number,)]
    assert small.replayed


@pytest.mark.slow
@pytest.mark.parametrize(
    "files",
    [
        {"dbt_project.yml": PROJECT + "  +post-hook: \"comment on table {{ this }} is '{{ run_started_at.year }}'\"\n"},
        {"models/chosen.sql": "select {{ selected_resources | length }} as chosen, * from {{ ref('orders') }}"},
        {"models/log.sql": "{{ config(materialized='incremental') }} select * from {{ ref('orders') }}"},
        {"models/drawn.sql": "select {{ [1, 1] | random }} as drawn, * from {{ ref('orders') }}"},
        {
            "models/found.sql": "select {{ adapter.location_exists('no.csv') | int }} as found, * from {{ ref('orders') }}"
        },
    ],
    ids=["hook", "selection", "log", "chance", "file"],
)
def test_dbt_builds_where_a_template_reads_more_than_the_warehouse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    small = Small(tmp_path, files)
    for _ in range(BUILDS):
        small.build(monkeypatch)
    assert not small.replayed
