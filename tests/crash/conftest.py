"""One pipeline for all crashes of this folder: each crash leaves its state to the next, and the end must be equal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pymongo
import pytest

from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.run import backfill, generate
from adventure.demo.generator.schema import create_tables
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import Databases, create_databases
from adventure.demo.sandbox.mongo import MongoServer
from adventure.demo.sandbox.process import free_port
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.processor.run import process_once
from adventure.processor.state import read_watermarks
from tests.comparison import compare_raw, count_rows_staged_twice, leftover_files

ROOT = Path(__file__).parent.parent.parent

_UPDATE = """
update orders set status = 6, revision_number = revision_number + 1, last_modified = now() at time zone 'utc'
where sales_order_id in (select sales_order_id from orders order by random() limit 3)
"""

_INSERT = """
with originals as (select *, gen_random_uuid() as new_id from orders order by random() limit 2),
copies as (
    insert into orders select (o).* from (
        select jsonb_populate_record(null::orders, to_jsonb(originals) || jsonb_build_object(
            'sales_order_id', new_id, 'last_modified', now() at time zone 'utc')) as o from originals
    ) as made returning 1
)
insert into order_details select (d).* from (
    select jsonb_populate_record(null::order_details, to_jsonb(lines) || jsonb_build_object(
        'sales_order_detail_id', gen_random_uuid(), 'sales_order_id', new_id, 'last_modified', now() at time zone 'utc'
    )) as d from originals join order_details as lines using (sales_order_id)
) as made
"""


@dataclass
class World:
    """Sources with writers, and the pipeline that reads them."""

    settings: Settings
    writer: Settings
    streams: tuple[Stream, ...]
    environment: dict[str, str]
    sees_deletes: bool
    """Whether the chats are read from their change stream."""

    def write(self) -> None:
        """Write new and updated orders, and new, changed, late and, with a change stream, deleted chats."""
        generate(self.writer, batches=1)
        with pymongo.MongoClient[dict[str, Any]](self.writer.mongo_conninfo) as client:
            chats = client[self.writer.mongo_db][self.writer.mongo_collection]
            late = datetime.now(UTC) - timedelta(seconds=5)
            chats.insert_one({**(chats.find_one() or {}), "_id": os.urandom(12).hex(), "last_modified": late})
            if self.sees_deletes:
                chats.delete_one({"ticket_status": "Closed"})

    @contextmanager
    def late_transaction(self) -> Iterator[None]:
        """Insert and update rows with the timestamps of the block's start, and commit at its end."""
        # Rows committed before stay below the horizon.
        time.sleep(0.15)
        with psycopg.connect(self.writer.postgres_dsn) as connection:
            connection.execute(_UPDATE)
            connection.execute(_INSERT)
            yield

    def run(self, *command: str, crash_at: str = "", limit: str = "") -> "subprocess.CompletedProcess[str]":
        """Run one of the real commands.

        Args:
            limit: an option of the shell's ulimit. With `-f 64`, a write beyond 64 kB fails in the middle, as on a full
                disk.
        """
        # Python would put cut-off modules into its cache, and fail on them later.
        uncached = {"PYTHONDONTWRITEBYTECODE": "1"} if limit else {}
        limited = ["bash", "-c", f'ulimit {limit} && exec "$@"', "bash"] if limit else []
        return subprocess.run(
            [*limited, sys.executable, "-m", "adventure", *command],
            env=self.environment | uncached | {"ADVENTURE_CRASH_AT": crash_at},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def crash(self, *command: str, at: str) -> None:
        """Run a command that must die at that point and nowhere else."""
        run = self.run(*command, crash_at=at)
        assert run.returncode == -signal.SIGKILL, f"{at} was not reached: {run.stdout}{run.stderr}"
        label, _, of = at.partition(":")
        assert f"ended at {label} of {of.partition(':')[0] or 'this run'}\n" in run.stderr

    def process(self) -> None:
        process_once(self.settings, self.streams)

    def load(self, *, cleanup: bool = True) -> None:
        warehouse = DuckDBWarehouse(self.settings)
        for stream in self.streams:
            warehouse.load(stream)
            if cleanup:
                warehouse.cleanup(stream)

    def converge(self) -> None:
        """Run processor, load and cleanup; then source, raw tables and stages must be equal."""
        self.process()
        self.load()
        for stream in self.streams:
            comparison = compare_raw(self.settings, stream)
            assert comparison.holds, comparison
        assert leftover_files(self.settings, self.streams) == []
        mode = read_watermarks(self.settings)["chat_logs"].mode
        assert mode.startswith("change stream" if self.sees_deletes else "lookback: not a replica set")

    def count_rows_staged_twice(self) -> dict[str, int]:
        """Return the number of rows staged twice, for the streams that read nothing twice."""
        exact = [stream for stream in self.streams if stream.source == "postgres"]
        return {stream.name: count_rows_staged_twice(self.settings, stream) for stream in exact}


@pytest.fixture(scope="session")
def world(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> World:
    """All streams; the chats are read from their change stream."""
    return _make(create_databases(sandbox, "crashes", mongo_db="crashes"), tmp_path_factory.mktemp("crashes"))


@pytest.fixture(scope="session")
def world_without_change_streams(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All streams; the chats are read by lookback."""
    folder = tmp_path_factory.mktemp("lookback")
    standalone = MongoServer(folder / "mongo", free_port(None), options=("--standalone",))
    standalone.start()
    databases = create_databases(sandbox, "crashes_lookback", mongo_db="crashes")
    uri = {"MONGO_URI": standalone.uri}
    yield _make(Databases(databases.reader_env | uri, databases.writer_env | uri), folder, sees_deletes=False)
    standalone.stop()


def _make(databases: Databases, folder: Path, *, sees_deletes: bool = True) -> World:
    pipeline = folder / "pipeline.toml"
    # Every process here is new and begins beside an open transaction: rows would wait until one of them showed UTC.
    named = 'cursor = "last_modified"\ntimezone = "UTC"'
    shipped = (ROOT / "pipeline.toml").read_text(encoding="utf-8")
    orders, found, others = shipped.partition("[streams.chat_logs]")
    pipeline.write_text(orders.replace('cursor = "last_modified"', named) + found + others, encoding="utf-8")
    common = {
        "DATA_DIR": str(folder / "adventure"),
        "PIPELINE_FILE": str(pipeline),
        "DBT_DIR": str(ROOT / "dbt"),
        "ORDER_BATCH_SIZE": "10",
    }
    reader, writer = (
        load_settings(**{name.lower(): value for name, value in (env | common).items()})
        for env in (databases.reader_env, databases.writer_env)
    )
    create_tables(writer)
    backfill(writer, orders=200, days=20)
    environment = os.environ | databases.reader_env | common
    return World(reader, writer, load_streams(reader), environment, sees_deletes)
