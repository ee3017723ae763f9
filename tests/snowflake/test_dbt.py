"""The same windows and the same history into DuckDB and into Snowflake's emulator, built with dbt: the same models.

Built twice, the second time in increments of what was sold, changed and deleted in between.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import CliRunner

from adventure import cli
from adventure.destinations.snowflake import account_tasks, warehouse
from adventure.destinations.snowflake.scripts import split
from tests.snowflake import account
from tests.snowflake.emulator import sent
from tests.snowflake.pair import DBT, OTHER_RATINGS, ROOT, Pair
from tests.snowflake.plain import plain
from tests.snowflake.typed.project import faults_of_project
from tests.snowflake.typed.relations import Relations
from tests.snowflake.typed.sent import check_sent
from tools.charts import charts, nothing_published, worksheet

pytestmark = pytest.mark.slow

MODELS = sorted(
    path.stem
    for folder in ("models", "seeds")
    for path in DBT.glob(f"{folder}/**/*.*")
    if path.suffix in (".sql", ".csv")
)

EMPTY = {"annotations", "targets", "sales_annotations", "sales_targets", "views", "sales_views"}
"""Seeds that are shipped empty, and their models."""
SEEDS = {path.stem for path in DBT.glob("seeds/**/*.csv")}


@pytest.mark.parametrize("model", MODELS)
def test_models_are_the_same_row_for_row(pair: Pair, model: str) -> None:
    columns = pair.columns(model)
    names = ", ".join(name for name, _ in columns)
    ours = plain(pair.embedded.execute(f"select {names} from dbt_prod.{model}"), columns)
    # Of the live rows: those of the history were copied from the one to the other.
    first_row = 1 if "real_time" in model or model == "base_reviews__reviews" else 0
    theirs = plain(pair.session.sql(f"select {names} from dbt_prod.{model}").collect(), columns, first_row=first_row)
    assert ours or model in EMPTY, "nothing was compared"
    assert theirs == ours


def test_what_is_deleted_and_hostile_was_compared(pair: Pair) -> None:
    deleted = [
        pair.session.sql(f"select count(*) from dbt_prod.{model} where _deleted_at is not null").collect()[0][0]
        for model in (
            "base_real_time__sales_orders",
            "base_real_time__order_details",
            "stg_real_time__chat_logs",
            "base_reviews__reviews",
        )
    ]
    assert all(deleted)
    assert pair.session.sql(
        "select freight, due_date, order_date, ship_date, status from dbt_prod.stg_ecom__sales_orders"
        " where sales_order_id = 'h1'"
    ).collect() == [
        (
            Decimal("12345678901234567890.123456789"),
            datetime(2013, 3, 1, 8, 0, 0, 123456),
            datetime(2013, 3, 1, 23, 59, 59, 999999),
            None,
            None,
        )
    ]


def test_ratings_in_other_notations_were_compared(pair: Pair) -> None:
    """The models read none of them by guessing, and a test lists each of them once."""
    kept = pair.session.sql("select count(*), count(rating) from dbt_prod.stg_reviews__reviews").collect()[0]
    assert kept[0] - kept[1] == len(OTHER_RATINGS) - 3
    audit = "select unread_value, row_count from dbt_prod_dbt_test__audit.ratings_are_whole_numbers_in_plain_digits"
    unread = {str(json.loads(each)).lower() for each in OTHER_RATINGS[3:-1]}
    for execute in (pair.embedded.execute, lambda query: pair.session.sql(query).collect()):
        assert {tuple(row) for row in execute(audit)} == {(value, 1) for value in unread}


def test_the_compiled_models_and_tests_have_snowflakes_words_and_types(pair: Pair) -> None:
    """As built whole, then in increments, which read the tables of the first build."""
    relations = Relations(pair.snowflake.snowflake_database)
    faults = relations.run_script("2_raw_tables.sql", (ROOT / "snowflake" / "2_raw_tables.sql").read_text("utf-8"))
    # The first load of a stream of documents creates its raw table.
    faults += relations.run_script("load", "create table raw_ext.reviews_raw clone raw_ext.chat_logs_raw")
    whole, increment = pair.manifests
    assert compiled(whole) != compiled(increment), "the second build was no increment"
    for manifest in (whole, increment):
        checked = dict(faults_of_project(manifest, relations))
        assert set(MODELS) - SEEDS <= checked.keys()
        assert len(checked) > 2 * len(MODELS), "the data tests were not read"
        faults += [fault for each in checked.values() for fault in each]
    assert faults == []


FORMS = (
    # dbt: models, increments, and tests with their failed rows. No strategy of this project sends MERGE.
    "create or replace transient table parity.DBT_PROD.fct_sales_order_lines",
    "create or replace view parity.DBT_PROD.",
    "create or replace temporary view parity.DBT_PROD.|create or replace temporary table parity.DBT_PROD.",
    "delete from parity.DBT_PROD.fct_sales_order_lines",
    "insert into parity.DBT_PROD.fct_sales_order_lines",
    "create or replace transient table parity.DBT_PROD_dbt_test__audit.",
    "select count(*) as failures",
    # The procedure, and what its streams need.
    "insert into raw_ext.seen_files",
    'select window_id, file, "ROWS" from raw_ext.load_history',
    # The publication, the checks and the comparison.
    "create or replace transient table dashboard.sales_by_hour clone",
    "create or replace table dashboard.publication",
    "create or replace view dashboard.",
    "insert into adventure_versions",
    "delete from raw_ext.task_history",
)
"""Statements that must be among those that were typed: the beginning of each, or one of two."""


def test_everything_that_was_sent_has_snowflakes_words_and_types(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statements of both builds and of their loads, and those of the commands that follow."""
    monkeypatch.setattr(account_tasks, "POLL_SEC", account.POLL_SEC)
    monkeypatch.setattr(warehouse, "run_dbt_build", lambda *_, **__: "built before")
    begun = len(sent["PARITY"])
    account.deploy_dashboard(pair.snowflake)
    deployed = len(sent["PARITY"])
    settings = account.with_sources(pair.snowflake, pair.settings)
    for command in ("tasks run", "status", "check", "reconcile"):
        # What they say of the sources is not the question: the watermarks are those of the other warehouse.
        CliRunner().invoke(cli.app, command.split(), env={"COLUMNS": "200", **account.environment(settings)})
    warehouse.SnowflakeWarehouse(pair.snowflake).publish_report(pair.streams, interval=60)
    relations = Relations(pair.snowflake.snowflake_database)
    shown = check_sent(sent["PARITY"][begun:deployed], relations, schema="dashboard")
    assert shown.faults == []
    ours = [text for text in dict.fromkeys([*pair.sent, *sent["PARITY"][deployed:]]) if "account." not in text]
    # What reads the published report does so in the schema of the dashboard.
    of_the_dashboard = [text for text in ours if re.search(r"\bfrom (report|publication)\b", text)]
    checked = check_sent([text for text in ours if text not in of_the_dashboard], relations)
    assert checked.faults == [], "\n".join(checked.faults)
    assert {form for form in FORMS if not any(begins(text, form) for text in checked.typed)} == set()
    assert checked.untyped.keys() <= {"a stage's columns", "VALUES", "the account's own views"}
    assert len(checked.typed) > 5 * sum(map(len, checked.untyped.values()))

    with nothing_published() as query:
        worksheets = [worksheet(chart, query) for chart in charts().values()]
    asked = [*of_the_dashboard, *(text for each in worksheets for text in split(each))]
    shown = check_sent(asked, relations, schema="dashboard")
    assert (shown.faults, shown.untyped) == ([], {})
    assert len(shown.typed) > len(worksheets), "the charts' queries were read"


def begins(text: str, form: str) -> bool:
    return text.startswith(tuple(form.split("|")))


def compiled(manifest: Mapping[str, Any]) -> dict[str, str]:
    return {name: node["compiled_code"] for name, node in manifest["nodes"].items() if node.get("compiled_code")}
