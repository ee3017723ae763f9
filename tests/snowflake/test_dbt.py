"""The same windows and the same history into DuckDB and into Snowflake's emulator, built with dbt: the same models.

Built twice, the second time in increments of what was sold, changed and deleted in between.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.snowflake.pair import DBT, ROOT, Pair
from tests.snowflake.plain import plain
from tests.snowflake.typed.project import faults_of_project
from tests.snowflake.typed.relations import Relations

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


def compiled(manifest: Mapping[str, Any]) -> dict[str, str]:
    return {name: node["compiled_code"] for name, node in manifest["nodes"].items() if node.get("compiled_code")}
