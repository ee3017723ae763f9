"""The same windows and the same history into DuckDB and into Snowflake's emulator, built with dbt: the same models.

Built twice, the second time in increments of what was sold, changed and deleted in between.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from decimal import Decimal

import pytest

from adventure.connect_snowflake import connect_snowflake
from adventure.generator.run import backfill, generate
from adventure.generator.schema import create_tables
from adventure.history import load as load_history
from adventure.processor.run import process_once
from adventure.reconcile.run import reconcile
from adventure.sandbox import Sandbox
from adventure.sandbox.databases import create_databases
from adventure.settings import load_settings
from adventure.streams import load_streams
from adventure.warehouse.duckdb import DuckDBWarehouse
from tests.snowflake.account import create_tables as create_snowflake_tables
from tests.snowflake.emulator import Emulator
from tests.snowflake.pair import DBT, ROOT, Pair, delete_some, sample_of_history
from tests.snowflake.plain import plain
from tests.snowflake.procedure import Session

MODELS = sorted(
    path.stem
    for folder in ("models", "seeds")
    for path in DBT.glob(f"{folder}/**/*.*")
    if path.suffix in (".sql", ".csv")
)


@pytest.fixture(scope="module")
def pair(sandbox: Sandbox, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("parity")
    databases = create_databases(sandbox, "parity", mongo_db="parity")
    reader, writer = (
        load_settings(
            **{name.lower(): value for name, value in environment.items()},
            data_dir=folder / "adventure",
            pipeline_file=ROOT / "pipeline.toml",
            dbt_dir=DBT,
            order_batch_size=20,
        )
        for environment in (databases.reader_env, databases.writer_env)
    )
    create_tables(writer)
    snowflake = emulator.new_database("parity", folder)
    with ExitStack() as stack:
        create_snowflake_tables(snowflake)
        connection = stack.enter_context(connect_snowflake(snowflake))
        streams = load_streams(reader)
        made = Pair(reader, streams, DuckDBWarehouse(reader), snowflake, Session(connection), folder)
        history = sample_of_history(folder)
        for settings in (reader, snowflake):
            load_history(settings, history)

        backfill(writer, orders=150, days=40, seed=5)
        process_once(reader, streams)
        made.load()
        made.build()

        generate(writer, seed=6, batches=2)
        delete_some(writer)
        process_once(reader, streams)
        made.load()
        reconcile(reader, streams, repair=True)
        made.load()
        made.build()
        yield made


@pytest.mark.parametrize("model", MODELS)
def test_models_are_the_same_row_for_row(pair: Pair, model: str) -> None:
    columns = pair.columns(model)
    names = ", ".join(name for name, _ in columns)
    ours = plain(pair.embedded.query(f"select {names} from dbt_prod.{model}"), columns)
    # Of the live rows: those of the history were copied from the one to the other.
    first_row = 1 if "real_time" in model else 0
    theirs = plain(pair.session.sql(f"select {names} from dbt_prod.{model}").collect(), columns, first_row=first_row)
    assert ours, "nothing was compared"
    assert theirs == ours


def test_what_is_deleted_and_hostile_was_compared(pair: Pair) -> None:
    deleted = [
        pair.session.sql(f"select count(*) from dbt_prod.{model} where _deleted_at is not null").collect()[0][0]
        for model in ("base_real_time__sales_orders", "base_real_time__order_details", "stg_real_time__chat_logs")
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
