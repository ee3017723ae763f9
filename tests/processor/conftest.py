"""Fixtures: small tables beside the sales, and the rows that the stage holds of them."""

import gzip
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pyarrow.parquet as pq
import pymongo
import pytest
from pydantic import SecretStr

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.mongo import MongoServer
from adventure.demo.sandbox.process import free_port
from adventure.destinations.duckdb.stage import FolderStage


class NxServer(MongoServer):
    """nx-27017. It has no change streams for us, compares moments by whole seconds, and gives no collection a UUID."""

    def command(self, data: Path) -> list[str | Path]:
        script = "from nx_27017.nx_27017 import main; main()"  # The package has no __main__.
        address = ["--host", self.host, "-p", str(self.port)]
        # By default all its servers on the machine share the file of the process.
        return [sys.executable, "-c", script, *address, "--data-dir", data, "--pid-file", self.folder / "nx.pid"]


Rows = list[dict[str, Any]]


def stream_of(table: str, **changes: Any) -> Stream:
    """Return a stream on a PostgreSQL table with the columns id and changed_at."""
    fields: dict[str, Any] = {
        "name": "things",
        "source": "postgres",
        "namespace": "public",
        "table": table,
        "cursor": "changed_at",
        "key": ("id",),
        "stage": "things_stage",
        "raw_table": "raw_ext.things_raw",
    }
    return Stream(**fields | changes)


@contextmanager
def writer(settings: Settings) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Yield a connection of the application that writes sales, in autocommit."""
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def things(writer_settings: Settings) -> Stream:
    """Create an empty table `things(id, changed_at, note)` whose cursor the server sets; return its stream."""
    with writer(writer_settings) as connection:
        connection.execute(
            "create table things (id integer primary key,"
            " changed_at timestamp not null default (now() at time zone 'utc'), note text)"
        )
        connection.execute("create index on things (changed_at)")
    return stream_of("things")


@pytest.fixture(scope="session")
def nx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    """A second server that speaks MongoDB's protocol, written by other people."""
    server = NxServer(tmp_path_factory.mktemp("nx") / "mongo", free_port(None))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    """A MongoDB server that is no replica set, and so has no change streams."""
    folder = tmp_path_factory.mktemp("standalone") / "mongo"
    server = MongoServer(folder, free_port(None), options=("--standalone",), durable=False)
    server.start()
    yield server
    server.stop()


def on_standalone(settings: Settings, standalone: MongoServer) -> Settings:
    """The same settings, with the standalone MongoDB server, which is read by lookback."""
    with pymongo.MongoClient[dict[str, Any]](standalone.uri) as client:
        client[settings.mongo_db][settings.mongo_collection].create_index("last_modified")
    return settings.model_copy(update={"mongo_uri": SecretStr(standalone.uri)})


@pytest.fixture
def staged(settings: Settings) -> Callable[[Stream], Rows]:
    """Return the rows that the stage holds of a stream, in the order of the windows."""

    def read(stream: Stream) -> Rows:
        stage, rows = FolderStage(settings.stage_dir), Rows()
        for window in stage.windows(stream.stage):
            for file in window.files:
                path = stage.path(window, file.name)
                if path.suffix == ".parquet":
                    found = pq.read_table(path).to_pylist()
                else:
                    found = [orjson.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
                assert len(found) == file.rows
                rows += found
        return rows

    return read


@pytest.fixture
def rejected(settings: Settings) -> Callable[[Stream], Rows]:
    """Return the rejected rows that the stage holds of a stream."""

    def read(stream: Stream) -> Rows:
        stage, rows = FolderStage(settings.stage_dir), Rows()
        for window in stage.windows(stream.stage):
            if window.rejects:
                content = gzip.decompress(stage.path(window, window.rejects.name).read_bytes())
                rows += [orjson.loads(line) for line in content.splitlines()]
                assert window.rejected == window.rejects.rows
        return rows

    return read


@pytest.fixture
def deleted(settings: Settings) -> Callable[[Stream], Rows]:
    """Return the deletions that the stage holds of a stream."""

    def read(stream: Stream) -> Rows:
        stage, rows = FolderStage(settings.stage_dir), Rows()
        for window in stage.windows(stream.stage):
            if window.deletes:
                content = gzip.decompress(stage.path(window, window.deletes.name).read_bytes())
                rows += [orjson.loads(line) for line in content.splitlines()]
        return rows

    return read


@pytest.fixture
def chat_stream(streams: tuple[Stream, ...]) -> Stream:
    """The stream of the chats."""
    return streams[2]


@pytest.fixture
def chats(settings: Settings) -> Iterator[Any]:
    """The collection of the chats, empty."""
    with pymongo.MongoClient[dict[str, Any]](settings.mongo_conninfo) as client:
        yield client[settings.mongo_db][settings.mongo_collection]


def names(rows: Rows) -> list[str]:
    """Return the names of a test's documents."""
    return sorted(row["n"] for row in rows)


@contextmanager
def superuser(sandbox: Sandbox, settings: Settings) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Connect as the superuser, for statements that no role of the pipeline may run."""
    with psycopg.connect(sandbox.postgres.dsn(settings.postgres_db), autocommit=True) as connection:
        yield connection


@pytest.fixture
def log_settings(sandbox: Sandbox, settings: Settings) -> Iterator[Settings]:
    """Settings with a role that may read the log."""
    with superuser(sandbox, settings) as connection:
        if not connection.execute("select 1 from pg_roles where rolname = 'log_reader'").fetchone():
            connection.execute("create role log_reader login replication password 'log' in role adventure_reader")
    yield settings.model_copy(update={"postgres_user": "log_reader", "postgres_password": SecretStr("log")})
    with superuser(sandbox, settings) as connection:
        connection.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()"
        )
