"""What ends the replays of an increment, and that a replay does what dbt does.

`test_increments` compares the tables of many sequences of loads with those of a full refresh.
"""

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import BuildFailed
from adventure.core.pipeline_file import load_streams
from adventure.destinations.common import unchanged
from adventure.destinations.common.dbt_results import read_results
from adventure.destinations.duckdb import replay
from adventure.destinations.duckdb.transcript import Transcript
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from tests.dbt.conftest import DBT

pytestmark = pytest.mark.slow

PROJECT = "{name: small, profile: adventure, data_tests: {+store_failures: true}, models: {+materialized: table}}"
PROFILE = """
adventure:
  outputs:
    duckdb:
      type: duckdb
      path: "{{ env_var('ADVENTURE_DUCKDB_PATH') }}"
      schema: made
      threads: 2
      settings: {TimeZone: UTC}
"""
SOURCES = "{sources: [{name: raw, schema: raw_ext, tables: [{name: orders_raw}]}]}"
ORDERS = """
{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='sales_order_id',
        on_schema_change='sync_all_columns'
    )
}}
select sales_order_id, customer_id, _loaded_at
from {{ source('raw', 'orders_raw') }}
{% if is_incremental() %} where _loaded_at > {{ high_water_mark() }} {% endif %}
qualify row_number() over (partition by sales_order_id order by _loaded_at desc) = 1
"""
COUNTED = "select count(*) as number, max(_loaded_at) as loaded_at from {{ ref('orders') }}"
WITHOUT_CUSTOMER = "select * from {{ ref('orders') }} where customer_id = -1"
MACROS = ("data_tests.sql", "incremental.sql", "table.sql", "time.sql")


class Pipeline:
    """A small project, and its warehouse."""

    def __init__(self, folder: Path, ran: list[str]) -> None:
        self.project = folder / "project"
        self._ran = ran
        for name in ("models", "macros", "tests"):
            (self.project / name).mkdir(parents=True)
        for name in MACROS:
            shutil.copy(DBT / "macros" / name, self.project / "macros")
        self.write("dbt_project.yml", PROJECT)
        self.write("profiles.yml", PROFILE)
        self.write("models/sources.yml", SOURCES)
        self.write("models/orders.sql", ORDERS)
        self.write("models/counted.sql", COUNTED)
        self.write("tests/no_order_without_customer.sql", WITHOUT_CUSTOMER)
        self.settings = load_settings(data_dir=folder / "data", dbt_dir=self.project)
        self.warehouse = DuckDBWarehouse(self.settings)
        self._loads = 0

    def write(self, name: str, text: str) -> None:
        (self.project / name).write_text(text)

    def load(self, customer: int = 1) -> None:
        """Load a new order, and a new version of the first one."""
        self._loads += 1
        stamp = f"timestamp '2026-01-01' + interval {self._loads} minute"
        for order in ("first", f"order {self._loads}"):
            self.warehouse.execute(
                "insert into raw_ext.orders_raw (sales_order_id, customer_id, _file, _file_row, _loaded_at)"
                f" values (?, ?, 'a', 1, {stamp})",
                [order, customer + self._loads if customer > 0 else customer],
            )

    def build(self, customer: int = 1) -> bool:
        """Load and build; return whether dbt built."""
        self.load(customer)
        self._ran.clear()
        self.warehouse.build(load_streams(self.settings))
        return "build" in self._ran

    def rows(self, table: str = "orders") -> list[tuple[object, ...]]:
        return self.warehouse.execute(f"select * from made.{table} order by all")


@pytest.fixture
def pipeline(tmp_path: Path, commands: list[str]) -> Pipeline:
    unchanged.forget()
    return Pipeline(tmp_path, commands)


def shown(pipeline: Pipeline) -> Pipeline:
    """Build whole, two increments by dbt, and the first replay."""
    assert [pipeline.build() for _ in range(4)] == [True, True, True, False]
    return pipeline


def test_increments_are_repeated_once_two_by_dbt_have_said_the_same(pipeline: Pipeline) -> None:
    shown(pipeline)
    assert not pipeline.build()
    replayed = pipeline.rows(), pipeline.rows("counted")
    assert [key for key, *_ in replayed[0]] == ["first", *(f"order {number}" for number in range(1, 6))]
    assert replayed[0][0][1] == 6, "the newest version of the first order"
    pipeline.warehouse.build(load_streams(pipeline.settings), "full refresh")
    assert (pipeline.rows(), pipeline.rows("counted")) == replayed


def test_a_replay_leaves_the_results_that_dbt_leaves(pipeline: Pipeline) -> None:
    for _ in range(3):
        pipeline.build()
    target = pipeline.settings.data_dir / "dbt" / "target"
    by_dbt, told = read_results(target), json.loads((target / "run_results.json").read_text())
    assert not pipeline.build()
    replayed, again = read_results(target), json.loads((target / "run_results.json").read_text())
    assert by_dbt.ran_at is not None
    assert replayed.ran_at is not None
    assert by_dbt.ran_at < replayed.ran_at
    assert (by_dbt.tests, by_dbt.failed) == (replayed.tests, replayed.failed) == (1, [])
    assert told.keys() == again.keys()
    assert {each["unique_id"]: each["status"] for each in told["results"]} == {
        each["unique_id"]: each["status"] for each in again["results"]
    }


def test_a_whole_build_must_be_followed_by_two_increments_of_dbt(pipeline: Pipeline) -> None:
    shown(pipeline)
    pipeline.warehouse.build(load_streams(pipeline.settings), "whole")
    assert [pipeline.build() for _ in range(3)] == [True, True, False]


def test_a_test_that_begins_to_fail_is_reported_by_dbt(pipeline: Pipeline) -> None:
    shown(pipeline)
    with pytest.raises(BuildFailed, match="test no_order_without_customer failed: Got 2 results"):
        pipeline.build(customer=-1)
    assert pipeline.warehouse.execute("select count(*) from made_dbt_test__audit.no_order_without_customer") == [(2,)]
    pipeline.warehouse.execute(
        "update raw_ext.orders_raw set customer_id = 1, _loaded_at = _loaded_at + interval 1 day"
    )
    assert pipeline.build()
    assert read_results(pipeline.settings.data_dir / "dbt" / "target").failed == []


def drop_a_table(pipeline: Pipeline) -> None:
    pipeline.warehouse.execute("drop table made.counted")


def drop_the_incremental_table(pipeline: Pipeline) -> None:
    pipeline.warehouse.execute("drop table made.orders")


def add_a_column(pipeline: Pipeline) -> None:
    pipeline.warehouse.execute("alter table made.orders add column note varchar")


def edit_a_model(pipeline: Pipeline) -> None:
    pipeline.write("models/counted.sql", COUNTED + " -- edited")


def empty_a_table(pipeline: Pipeline) -> None:
    pipeline.warehouse.execute("delete from made.orders")


@pytest.mark.parametrize(
    "change", [drop_a_table, drop_the_incremental_table, add_a_column, edit_a_model, empty_a_table]
)
def test_dbt_builds_where_anything_else_has_changed(pipeline: Pipeline, change: Callable[[Pipeline], None]) -> None:
    shown(pipeline)
    change(pipeline)
    assert pipeline.build()
    assert len(pipeline.rows()) == 6
    assert pipeline.rows("counted")[0][0] == 6


def test_a_statement_that_fails_is_reported_by_dbt(pipeline: Pipeline) -> None:
    shown(pipeline)
    pipeline.warehouse.execute("alter table raw_ext.orders_raw rename column customer_id to customer")
    pipeline.warehouse.execute(
        "insert into raw_ext.orders_raw (sales_order_id, _file, _file_row, _loaded_at)"
        " values ('b', 'b', 1, timestamp '2026-01-02')"
    )
    with pytest.raises(BuildFailed, match=r"model orders failed: .*customer_id"):
        pipeline.warehouse.build(load_streams(pipeline.settings))
    pipeline.warehouse.execute("alter table raw_ext.orders_raw rename column customer to customer_id")
    assert pipeline.build()
    assert len(pipeline.rows()) == 7


def test_what_a_replay_left_when_it_ended_is_completed(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    shown(pipeline)

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(replay, "reached", end)
        with pytest.raises(KeyboardInterrupt):
            pipeline.build()
    assert pipeline.rows("counted")[0][0] == 5
    assert pipeline.build()
    assert pipeline.rows("counted")[0][0] == 7


TEST_OF_TODAY = """
models:
  - name: counted
    columns:
      - name: number
        data_tests: [accepted_values: {arguments: {values: [1, 2, 3, 4, 5, 6, "{{ modules.datetime.date.today().year }}"]}}]
"""
COUNTS = """
{% set counted = run_query('select count(*) from ' ~ ref('orders')).columns[0].values()[0] if execute else 0 %}
select {{ counted }} as number from {{ ref('orders') }} limit 1
"""


def test_a_build_of_which_nothing_was_seen_is_not_repeated(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "listening", lambda: nullcontext(Transcript()))
    assert [pipeline.build() for _ in range(5)] == [True] * 5


def test_another_answer_ends_what_rested_on_the_one_before(pipeline: Pipeline) -> None:
    """A build by dbt of some models, after the tables have changed, is not enough to repeat the others."""
    shown(pipeline)
    pipeline.warehouse.execute("create table made.other as select 1 as number")
    assert [pipeline.build() for _ in range(3)] == [True, True, False]
    pipeline.warehouse.execute("drop table made.other")
    assert [pipeline.build() for _ in range(3)] == [True, True, False]


def test_a_schema_that_dbt_made_again_does_not_end_the_replays(pipeline: Pipeline) -> None:
    shown(pipeline)
    pipeline.warehouse.execute("drop schema if exists made_dbt_test__audit cascade")
    assert [pipeline.build() for _ in range(4)][-1] is False


def test_a_warning_is_repeated_with_its_rows(pipeline: Pipeline) -> None:
    text = "{{ config(severity='warn') }} select max(number) as number from {{ ref('counted') }} where number > 1"
    pipeline.write("tests/few_orders.sql", text)
    shown(pipeline)
    kept = "select number from made_dbt_test__audit.few_orders"
    assert pipeline.warehouse.execute(kept) == [(5,)]
    assert not pipeline.build()
    assert pipeline.warehouse.execute(kept) == [(6,)]
    failed = read_results(pipeline.settings.data_dir / "dbt" / "target").failed
    assert [(name, status, rows) for name, _, _, status, rows, _, _ in failed] == [("few_orders", "warn", 1)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("models/counted.sql", COUNTED.replace("select", "select '{{ run_started_at }}' as built_at,")),
        ("models/counted.sql", COUNTED + "{# {{ modules.datetime.datetime.now().hour }} #}"),
        ("models/counted.sql", COUNTS),
        ("models/orders.sql", ORDERS.replace("'delete+insert'", "'append'")),
        ("models/tests.yml", TEST_OF_TODAY),
        ("dbt_project.yml", PROJECT[:-1] + ", on-run-end: [select 1]}"),
        ("profiles.yml", PROFILE.replace("settings:", "config_options: {memory_limit: 1GB}\n      settings:")),
    ],
    ids=[
        "time of the run",
        "clock",
        "a query's answer in the text",
        "append",
        "argument of a test",
        "hook of the run",
        "options of the profile",
    ],
)
def test_dbt_builds_what_its_statements_do_not_show(pipeline: Pipeline, name: str, text: str) -> None:
    pipeline.write(name, text)
    assert [pipeline.build() for _ in range(5)] == [True] * 5
    assert pipeline.rows("counted")[0][-1 if "limit 1" in text else 0] is not None
    assert len({key for key, *_ in pipeline.rows()}) == 6
