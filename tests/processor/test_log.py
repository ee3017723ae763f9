"""Test tables that are read by PostgreSQL's log: what arrives equals the source, row for row, and nothing is lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, LiteralString

import psycopg
import pytest

from adventure.core import faults
from adventure.core.errors import AdventureError
from adventure.core.settings import Settings
from adventure.core.streams import READ_AT, Stream
from adventure.demo.sandbox import Sandbox
from adventure.factory import open_warehouse
from adventure.monitoring.checks.flow import count_rows
from adventure.processor.cycle import CycleReport, run_cycle
from adventure.processor.run import open_pipeline, process_once
from adventure.processor.state import read_watermarks
from adventure.reconcile.run import reconcile
from adventure.sources.postgres.log import cycle as log_cycle
from adventure.sources.postgres.log import keys as log_keys
from tests.processor.conftest import Rows, stream_of, superuser, writer

CREATE = "create table films (id integer, lang text, title text, rate numeric(4,2), primary key (id, lang))"
FILMS = "insert into films select n, 'en', 'Film ' || n, n / 7.0 from generate_series(1, 20) as n"
PUBLISH = "create publication adventure for table films with (publish_via_partition_root = true)"


def log_of(table: str, key: tuple[str, ...]) -> Stream:
    return stream_of(
        table,
        name=table,
        mode="log",
        cursor=READ_AT,
        key=key,
        stage=f"{table}_stage",
        raw_table=f"raw_ext.{table}_raw",
    )


@pytest.fixture
def log_settings(sandbox: Sandbox, settings: Settings) -> Iterator[Settings]:
    """Settings with a role that may read the log."""
    with superuser(sandbox, settings) as connection:
        if not connection.execute("select 1 from pg_roles where rolname = 'log_reader'").fetchone():
            connection.execute("create role log_reader login replication password 'log' in role adventure_reader")
    yield settings.model_copy(update={"postgres_user": "log_reader", "postgres_password": type(settings.postgres_password)("log")})
    with superuser(sandbox, settings) as connection:
        connection.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()"
        )


@pytest.fixture
def films(writer_settings: Settings) -> Stream:
    """Twenty films in a published table without a cursor."""
    change(writer_settings, CREATE, FILMS, PUBLISH)
    return log_of("films", ("id", "lang"))


def change(settings: Settings, *statements: LiteralString) -> None:
    with writer(settings) as connection:
        for statement in statements:
            connection.execute(statement)


def modes(settings: Settings) -> str:
    return read_watermarks(settings)["films"].mode


def check_films(settings: Settings, writer_settings: Settings, stream: Stream) -> None:
    """Load what is staged, and compare the latest version of each key with the source, row for row."""
    warehouse = open_warehouse(settings)
    warehouse.load(stream)
    names = "id, lang, title, rate"
    held = warehouse.execute(f"select {names} from {stream.latest_view} order by all")
    with psycopg.connect(writer_settings.postgres_dsn) as connection:
        there = connection.execute(f"select {names} from {stream.table} order by 1, 2, 3, 4").fetchall()  # type: ignore[arg-type]
    assert held == there
    counts = count_rows(settings, warehouse, stream)
    assert (counts.source, counts.raw) == (len(there), len(there))


def staged_of(report: CycleReport) -> tuple[int, int]:
    """Return how many rows and deletions the only stream's window has."""
    (stream,) = report.streams
    assert not report.failures
    return (0, 0) if stream.window is None else (stream.window.rows, stream.window.deletes.rows if stream.window.deletes else 0)


CHANGES: list[tuple[LiteralString, int, int]] = [
    ("insert into films values (21, 'en', null, null)", 1, 0),
    ("update films set title = 'New' where id <= 2", 2, 0),
    ("delete from films where id > 17", 0, 3),
    ("delete from films where id = 5; insert into films select 5, 'en', 'Film 5', 0.5", 1, 0),
    ("update films set id = 100 where id = 1", 1, 1),
    ("begin; savepoint s; delete from films where id = 3; rollback to s; delete from films where id = 4; commit", 0, 1),
    ("begin; delete from films; rollback", 0, 0),
    ("truncate films; insert into films values (3, 'en', 'Again', 1)", 1, 0),
    ("truncate films", 0, 0),
    ("insert into films values (9, 'x\"\\{}, '' \t', 'Odd key', 1)", 1, 0),
    ("alter table films add column year integer default 1999; update films set title = 'y' where id < 4", 3, 0),
]


@pytest.mark.parametrize(("statement", "changed", "deleted"), CHANGES)
def test_each_change_arrives(
    log_settings: Settings, writer_settings: Settings, films: Stream, statement: LiteralString, changed: int, deleted: int
) -> None:
    assert staged_of(process_once(log_settings, (films,))) == (20, 0)
    change(writer_settings, statement)
    assert staged_of(process_once(log_settings, (films,))) == (changed, deleted)
    check_films(log_settings, writer_settings, films)
    assert staged_of(process_once(log_settings, (films,))) == (0, 0)
