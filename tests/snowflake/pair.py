"""One pipeline into two warehouses, DuckDB and Snowflake's emulator, and what is done to its sources meanwhile.

dbt speaks to the emulator from a process of its own, which ends when it takes too long: the connector would try again
for minutes.
"""

import gzip
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pymongo

from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo import history
from adventure.demo.api.serve import serving
from adventure.demo.generator.run import backfill, generate
from adventure.demo.generator.schema import create_tables
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import create_databases
from adventure.destinations.common.build import target_dir
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.destinations.snowflake.profile import profile_variables
from adventure.destinations.snowflake.scripts import layout
from adventure.destinations.snowflake.session import connect_snowflake
from adventure.destinations.snowflake.stage import SnowflakeStage
from adventure.processor.run import process_once
from adventure.reconcile.run import reconcile
from tests.snowflake.account import create_tables as create_snowflake_tables
from tests.snowflake.emulator import Emulator, sent
from tests.snowflake.procedure import Session, run

ROOT = Path(__file__).parents[2]
DBT = ROOT / "dbt"
DBT_TIMEOUT_SEC = 600
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


# JSON as an API may write ratings; the models read the first three.
OTHER_RATINGS = ('"4"', "3.0", "9", "4.5", "true", '"five"', '"fünf"', '"5/5"', '"★★★★★"', '"５"', '"٥"', '""', "null")


@dataclass
class Pair:
    """One pipeline into two warehouses."""

    settings: Settings
    streams: tuple[Stream, ...]
    embedded: DuckDBWarehouse
    snowflake: Settings
    session: Session
    folder: Path
    manifests: list[dict[str, Any]] = field(default_factory=list)
    """dbt's manifest after each build on Snowflake, with the compiled models and tests."""
    sent: list[str] = field(default_factory=list)
    """The statements that loaded and built on Snowflake."""

    def load(self) -> None:
        """What is in the folder's stage and not loaded yet: the same files, put into Snowflake's stage as well."""
        theirs = SnowflakeStage(self.snowflake)
        ours = FolderStage(self.settings.stage_dir)
        for stream in self.streams:
            for window in ours.windows(stream.stage):
                for file in window.all_files:
                    theirs.put(stream.stage, window.id, ours.path(window, file.name))
                theirs.commit(window)
            theirs.announce(stream.stage)
            arguments = (stream.name, layout(stream), stream.stage, stream.raw_table, list(stream.key), stream.cursor)
            for job in ("load", "cleanup"):
                run(self.session, job, *arguments)
            self.embedded.load(stream)
            self.embedded.cleanup(stream)

    def build(self) -> None:
        self.embedded.build(self.streams, "whole")
        options: dict[str, object] = {"--project-dir": DBT, "--profiles-dir": DBT}
        options |= {"--profile": "adventure_snowflake", "--target": self.snowflake.snowflake_dbt_target}
        options |= {"--target-path": target_dir(self.snowflake), "--log-path": self.folder / "logs"}
        ended = subprocess.run(
            [
                Path(sys.executable).with_name("dbt"),
                "build",
                "--no-use-colors",
                "--selector=whole",
                *map(str, itertools.chain(*options.items())),
            ],
            env={**os.environ, "API_URL": self.settings.api_url, **profile_variables(self.snowflake, "parity")},
            timeout=DBT_TIMEOUT_SEC,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, f"{failed_nodes(target_dir(self.snowflake))}\n{ended.stdout[-6000:]}"
        self.manifests.append(json.loads((target_dir(self.snowflake) / "manifest.json").read_text(encoding="utf-8")))

    def columns(self, model: str) -> list[tuple[str, str]]:
        return [
            (str(name), str(kind))
            for name, kind in self.embedded.execute(
                "select column_name, data_type from duckdb_columns()"
                " where schema_name = 'dbt_prod' and table_name = ? order by column_index",
                [model],
            )
        ]


def failed_nodes(target: Path) -> str:
    """Return what failed in the last build. "Got 1 result" in dbt's output may be a test that only warns."""
    path = target / "run_results.json"
    results = json.loads(path.read_text(encoding="utf-8"))["results"] if path.exists() else []
    failed = [each for each in results if each["status"] in ("error", "fail", "runtime error")]
    return "\n".join(f"{each['unique_id']}: {each['status']}: {each['message']}" for each in failed)


@contextmanager
def built_pair(sandbox: Sandbox, emulator: Emulator, folder: Path) -> Iterator[Pair]:
    """Loaded and built twice, the second time in increments of what was sold, changed and deleted in between."""
    databases = create_databases(sandbox, "parity", mongo_db="parity")
    reader, writer = (
        load_settings(
            **{name.lower(): value for name, value in environment.items()},
            data_dir=folder / "adventure",
            pipeline_file=ROOT / "pipeline.toml",
            dbt_dir=DBT,
            order_batch_size=20,
            shop_api_port=0,
        )
        for environment in (databases.reader_env, databases.writer_env)
    )
    create_tables(writer)
    snowflake = emulator.new_database("parity", folder / "snowflake")
    with ExitStack() as stack:
        port, _ = stack.enter_context(serving(writer))
        reader = reader.model_copy(update={"api_url": f"http://127.0.0.1:{port}/v1"})
        streams = load_streams(reader)
        create_snowflake_tables(snowflake, *(stream for stream in streams if stream.source == "http"))
        connection = stack.enter_context(connect_snowflake(snowflake))
        made = Pair(reader, streams, DuckDBWarehouse(reader), snowflake, Session(connection), folder)
        sample = sample_of_history(folder)
        for settings in (reader, snowflake):
            history.load(settings, sample)

        backfill(writer, orders=150, days=40, seed=5)
        process_once(reader, streams)
        made.load()
        made.build()

        generate(writer, seed=6, batches=2)
        delete_some(writer)
        rate_in_other_notations(writer)
        process_once(reader, streams)
        made.load()
        reconcile(reader, streams, repair=True)
        made.load()
        made.build()
        made.sent = list(sent["PARITY"])
        yield made


def sample_of_history(folder: Path) -> Path:
    """Some rows of each raw table, with the hostile order among them."""
    whole, sample = folder / "whole", folder / "sample"
    history.synthesise(whole, seed=1)
    sample.mkdir()
    for path in whole.iterdir():
        with gzip.open(path) as lines, gzip.open(sample / path.name, "wb") as kept:
            kept.writelines(itertools.islice(lines, SAMPLE))
            if path.name.startswith("sales_order_raw"):
                kept.write(HOSTILE_ORDER)
    return sample


def delete_some(writer: Settings) -> None:
    """An order with its lines, a line alone, chats, and reviews that the API does not mark as deleted."""
    with psycopg.connect(writer.postgres_dsn, autocommit=True) as source:
        orders = [
            row[0]
            for row in source.execute(
                "select sales_order_id from orders order by last_modified, sales_order_id limit 2"
            )
        ]
        source.execute("delete from order_details where sales_order_id = %s", [orders[0]])
        source.execute("delete from orders where sales_order_id = %s", [orders[0]])
        source.execute(
            "delete from order_details where sales_order_detail_id ="
            " (select sales_order_detail_id from order_details where sales_order_id = %s limit 1)",
            [orders[1]],
        )
        source.execute(
            "delete from reviews_api.reviews where review_id in"
            " (select review_id from reviews_api.reviews where status = 'published' order by review_id limit 2)"
        )
    with pymongo.MongoClient[dict[str, Any]](writer.mongo_conninfo) as client:
        chats = next(stream for stream in load_streams(writer) if stream.source == "mongo")
        collection = client[chats.namespace][chats.table]
        for document in list(collection.find({}, {"_id": 1}).limit(3)):
            collection.delete_one({"_id": document["_id"]})


def rate_in_other_notations(writer: Settings) -> None:
    """Let the API answer with ratings in OTHER_RATINGS for as many of its reviews."""
    with psycopg.connect(writer.postgres_dsn, autocommit=True) as source:
        source.execute("alter table reviews_api.reviews drop constraint if exists reviews_rating_check")
        source.execute(
            "alter table reviews_api.reviews alter rating drop not null, alter rating type jsonb using to_jsonb(rating)"
        )
        found = source.execute(
            "select review_id from reviews_api.reviews where status = 'published' order by review_id desc limit %s",
            [len(OTHER_RATINGS)],
        ).fetchall()
        for (key,), rating in zip(found, OTHER_RATINGS, strict=True):
            source.execute(
                "update reviews_api.reviews set rating = %s::jsonb, updated_at = clock_timestamp() at time zone 'utc'"
                " where review_id = %s",
                [rating, key],
            )
