"""The same windows and the same history into DuckDB and into Snowflake's emulator, built with dbt: the same models.

Built twice, the second time in increments of what was sold, changed and deleted in between. dbt speaks to the emulator
from a process of its own, which ends when it takes too long: the connector would try again for minutes.
"""

import gzip
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pymongo
import pytest

from adventure.connect_snowflake import connect_snowflake
from adventure.generator.run import backfill, generate
from adventure.generator.schema import create_tables
from adventure.history import load as load_history
from adventure.history.synthesis import synthesise
from adventure.history.tables import RAW_TABLES
from adventure.processor.run import process_once
from adventure.reconcile.run import reconcile
from adventure.sandbox import Sandbox
from adventure.sandbox.databases import create_databases
from adventure.settings import Settings, load_settings
from adventure.stage.folder import FolderStage
from adventure.stage.snowflake import SnowflakeStage
from adventure.streams import Stream, load_streams
from adventure.warehouse.duckdb import DuckDBWarehouse
from adventure.warehouse.snowflake.profile import profile_variables
from tests.snowflake.account import create_tables as create_snowflake_tables
from tests.snowflake.emulator import Emulator
from tests.snowflake.procedure import Session, run

ROOT = Path(__file__).parents[2]
DBT = ROOT / "dbt"
MODELS = sorted(
    path.stem
    for folder in ("models", "seeds")
    for path in DBT.glob(f"{folder}/**/*.*")
    if path.suffix in (".sql", ".csv")
)
DBT_TIMEOUT_SEC = 300
SAMPLE = 400
"""Documents and rows of each raw table of the history."""

# Digits that no double holds (not within the lines: the emulator takes nested values apart by way of doubles),
# a time with an offset, one with microseconds, and what fits nowhere.
HOSTILE_ORDER = (
    b'{"SalesOrderID":"h1","CustomerID":11000,"AccountNumber":"10","BillToAddressID":1,"Comment":null,'
    b'"CreditCardApprovalCode":null,"CreditCardID":9007199254740993,"CurrencyRateID":null,"DeliveryEstimate":"2 weeks",'
    b'"DueDate":"2013-03-01T10:00:00.123456+02:00","Freight":12345678901234567890.123456789,"ModifiedDate":"2013-03-01T10:00:00.123456Z",'
    b'"OnlineOrderFlag":0,"OrderDate":"2013-03-01 23:59:59.999999","OrderDetails":[{"SalesOrderDetailID":"d1",'
    b'"CarrierTrackingNumber":null,"OrderQty":3,"ProductID":707,"SpecialOfferID":1,"UnitPrice":41152.263004115,'
    b'"UnitPriceDiscount":0.000000001,"LineTotal":123456.789012345,"ModifiedDate":"2013-03-01T10:00:00.123456"}],'
    b'"PurchaseOrderNumber":"it\'s \\\\ \xc3\xa9","RevisionNumber":1,"SalesOrderNumber":"SO1","SalesPersonID":null,'
    b'"ShipDate":"20130301","ShipMethodID":1,"ShipToAddressID":1,"Status":"open",'
    b'"SubTotal":123456.789012345,"TaxAmt":0.000000001,"TerritoryID":1,"TotalDue":12345678901234691346.912469135}\n'
)


@dataclass
class Pair:
    """One pipeline into two warehouses."""

    settings: Settings
    streams: tuple[Stream, ...]
    embedded: DuckDBWarehouse
    snowflake: Settings
    session: Session
    folder: Path

    def load(self) -> None:
        """What is in the folder's stage and not loaded yet: the same files, put into Snowflake's stage as well."""
        theirs = SnowflakeStage(self.snowflake)
        ours = FolderStage(self.settings.stage_dir)
        for stream in self.streams:
            for window in ours.windows(stream.stage):
                for file in window.all_files:
                    theirs.put(stream.stage, window.id, ours.path(window, file.name))
                theirs.commit(window)
            arguments = (stream.name, stream.source, stream.stage, stream.raw_table, list(stream.key), stream.cursor)
            for job in ("load", "cleanup"):
                run(self.session, job, *arguments)
            self.embedded.load(stream)
            self.embedded.cleanup(stream)

    def build(self) -> None:
        self.embedded.build("whole")
        options = {"--project-dir": DBT, "--profiles-dir": DBT, "--target": self.snowflake.snowflake_dbt_target}
        options |= {"--target-path": self.folder / "target", "--log-path": self.folder / "logs", "--selector": "whole"}
        ended = subprocess.run(
            [
                Path(sys.executable).with_name("dbt"),
                "build",
                "--no-use-colors",
                *map(str, itertools.chain(*options.items())),
            ],
            env={**os.environ, **profile_variables(self.snowflake, "parity")},
            timeout=DBT_TIMEOUT_SEC,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stdout[-6000:]

    def columns(self, model: str) -> list[tuple[str, str]]:
        return [
            (str(name), str(kind))
            for name, kind in self.embedded.query(
                "select column_name, data_type from duckdb_columns()"
                " where schema_name = 'dbt_prod' and table_name = ? order by column_index",
                [model],
            )
        ]


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
        load_history(reader, _sample_of_history(folder))
        _copy_history(made)

        backfill(writer, orders=150, days=40, seed=5)
        process_once(reader, streams)
        made.load()
        made.build()

        generate(writer, seed=6, batches=2)
        _delete_some(writer)
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
    ours = _plain(pair.embedded.query(f"select {names} from dbt_prod.{model}"), columns)
    # Of the live rows: those of the history were copied from the one to the other.
    first_row = 1 if "real_time" in model else 0
    theirs = _plain(pair.session.sql(f"select {names} from dbt_prod.{model}").collect(), columns, first_row=first_row)
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


def _sample_of_history(folder: Path) -> Path:
    whole, sample = folder / "whole", folder / "sample"
    synthesise(whole, seed=1)
    sample.mkdir()
    for path in whole.iterdir():
        with gzip.open(path) as lines, gzip.open(sample / path.name, "wb") as kept:
            kept.writelines(itertools.islice(lines, SAMPLE))
            if path.name.startswith("sales_order_raw"):
                kept.write(HOSTILE_ORDER)
    return sample


def _copy_history(pair: Pair) -> None:
    """The rows of DuckDB's raw tables, put into Snowflake's."""
    for table in RAW_TABLES:
        schema, name = table.location.split(".")
        columns = [
            column
            for (column,) in pair.embedded.query(
                "select column_name from duckdb_columns() where schema_name = ? and table_name = ?", [schema, name]
            )
        ]
        texts = ", ".join(f"cast({column} as varchar)" for column in columns)
        rows = pair.embedded.query(f"select {texts} from {table.location}")
        values = ", ".join(
            f"parse_json(column{place})" if column == "raw" else f"column{place}"
            for place, column in enumerate(columns, 1)
        )
        for some in _batches(rows, 100):
            marks = ", ".join(f"({', '.join('?' * len(columns))})" for _ in some)
            pair.session.sql(
                f"insert into {table.location} ({', '.join(columns)}) select {values} from values {marks}",
                [value for row in some for value in row],
            ).collect()


def _batches(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (rows[begin : begin + size] for begin in range(0, len(rows), size))


def _delete_some(writer: Settings) -> None:
    """An order with its lines, a line alone, and chats."""
    with psycopg.connect(writer.postgres_dsn, autocommit=True) as source:
        orders = [row[0] for row in source.execute("select sales_order_id from orders order by 1 limit 2")]
        source.execute("delete from order_details where sales_order_id = %s", [orders[0]])
        source.execute("delete from orders where sales_order_id = %s", [orders[0]])
        source.execute(
            "delete from order_details where sales_order_detail_id ="
            " (select sales_order_detail_id from order_details where sales_order_id = %s limit 1)",
            [orders[1]],
        )
    with pymongo.MongoClient[dict[str, Any]](writer.mongo_conninfo) as client:
        chats = next(stream for stream in load_streams(writer) if stream.source == "mongo")
        collection = client[chats.namespace][chats.table]
        for document in list(collection.find({}, {"_id": 1}).limit(3)):
            collection.delete_one({"_id": document["_id"]})


def _plain(
    rows: Sequence[Sequence[Any]], columns: list[tuple[str, str]], *, first_row: int = 0
) -> list[tuple[Any, ...]]:
    """Sorted rows, in the form that both warehouses' answers have in common.

    Args:
        first_row: the number of a file's first row.
    """
    values = [
        _values(column, *described, first_row)
        for column, described in zip(zip(*rows, strict=True), columns, strict=False)
    ]
    return sorted(zip(*values, strict=True), key=str)


def _values(values: tuple[Any, ...], name: str, kind: str, first_row: int) -> list[Any]:
    if name == "_loaded_at":
        # Both warehouses loaded in the same order, at moments of their own.
        order = {stamp: place for place, stamp in enumerate(sorted({value for value in values if value}))}
        return [order.get(value) for value in values]
    if name == "_file_row":
        return [value - first_row for value in values]
    if kind.startswith("STRUCT"):
        return [value and [_line(line) for line in _parsed(value)] for value in values]
    if kind == "JSON":
        return [value and _parsed(value) for value in values]
    return list(values)


def _parsed(value: Any) -> Any:
    return json.loads(value, parse_float=Decimal) if isinstance(value, str) else value


def _line(line: dict[str, Any]) -> dict[str, Any]:
    """A line of an order, typed: in Snowflake those of the history are as their documents have them."""
    kinds: dict[str, Callable[[Any], Any]] = {
        "OrderQty": int,
        "UnitPrice": Decimal,
        "UnitPriceDiscount": Decimal,
        "LineTotal": Decimal,
        "ModifiedDate": lambda moment: datetime.fromisoformat(str(moment)),
    }
    return {key: None if value is None else kinds.get(key, str)(value) for key, value in line.items()}
