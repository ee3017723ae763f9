"""The horizon stays below every timestamp that an open session can still write, however it sends its transactions."""

import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import pq
from psycopg.conninfo import make_conninfo

from adventure.core.clock import utc_now
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox import Sandbox
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline
from adventure.sources.postgres.horizon import MARGIN, blocking_session, read_horizon
from tests.processor.conftest import Rows, superuser, writer
from tests.waiting import until

Connection = psycopg.Connection[tuple[Any, ...]]
Staged = Callable[[Stream], Rows]


@pytest.fixture
def reader(settings: Settings) -> Iterator[Connection]:
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        yield connection


def clock(connection: Connection) -> datetime:
    found = connection.execute("select clock_timestamp() at time zone 'utc'").fetchone()
    assert found is not None
    return found[0]  # type: ignore[no-any-return]


@contextmanager
def sending(connection: Connection, message: str) -> Iterator[threading.Thread]:
    """Send the statements in a thread, as one message of the simple protocol; wait for it when the block ends."""

    def send() -> None:
        result = connection.pgconn.exec_(message.encode())
        assert result.status in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK), result.error_message

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("select pg_sleep(0.2);" + "begin; commit;" * 40_000, id="several transactions"),
        pytest.param("begin; select pg_sleep(0.2);" + "commit and chain;" * 40_000 + "commit", id="chained"),
        pytest.param(
            "do $$ begin perform pg_sleep(0.2); for i in 1..100000 loop commit; end loop; end $$",
            id="a block that commits",
        ),
    ],
)
def test_a_message_of_many_transactions_counts_from_its_arrival(
    reader: Connection, writer_settings: Settings, message: str
) -> None:
    """It sleeps first, so that it is seen before it has ended."""
    with writer(writer_settings) as connection, sending(connection, message):
        pid = connection.info.backend_pid
        until(lambda: arrival(reader, pid) is not None)
        arrived = arrival(reader, pid)
        assert arrived is not None
        horizons: set[datetime] = set()
        looks = 0
        while True:
            horizon = read_horizon(reader, 0)
            if arrival(reader, pid) is None:
                break
            horizons.add(horizon.moment)
            looks += utc_now() - arrived > timedelta(seconds=0.2)
    assert looks >= 3
    assert horizons == {arrived - MARGIN}


def arrival(reader: Connection, pid: int) -> datetime | None:
    """Return the time at which the session's current message arrived."""
    found = reader.execute(
        "select query_start at time zone 'utc' from pg_stat_activity where pid = %s and state = 'active'", [pid]
    ).fetchone()
    return found[0] if found else None


def test_several_transactions_in_one_message_lose_no_row(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    rows = 5_000
    message = "set synchronous_commit = off;" + "".join(
        f"begin; insert into things (id) values ({number}); commit;" for number in range(rows)
    )
    with writer(writer_settings) as connection, open_pipeline(settings, [things]) as pipeline:
        with sending(connection, message) as sent:
            while sent.is_alive():
                run_cycle(pipeline)
        time.sleep(0.15)
        run_cycle(pipeline)
    assert sorted(row["id"] for row in staged(things)) == list(range(rows))


def test_a_procedure_that_commits_and_writes_the_time_of_its_call_loses_no_row(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    with writer(writer_settings) as connection, open_pipeline(settings, [things]) as pipeline:
        connection.execute("alter table things alter changed_at set default statement_timestamp() at time zone 'utc'")
        connection.execute(
            "create procedure fill() language plpgsql as $$ begin"
            " for number in 1..8 loop insert into things (id) values (number); commit; perform pg_sleep(0.1); end loop;"
            " end $$"
        )
        with sending(connection, "call fill()") as sent:
            while sent.is_alive():
                run_cycle(pipeline)
        time.sleep(0.15)
        run_cycle(pipeline)
    assert sorted(row["id"] for row in staged(things)) == list(range(1, 9))


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(["begin", "select 1"], id="idle in a transaction"),
        pytest.param(["begin", "savepoint s", "select 1/0"], id="aborted: it may roll back to its savepoint"),
        pytest.param(["begin", "select 1", "commit and chain"], id="chained"),
        pytest.param(["begin read only", "declare c cursor with hold for select 1", "commit and chain"], id="cursor"),
    ],
)
def test_an_open_transaction_holds_the_horizon_back(
    reader: Connection, writer_settings: Settings, statements: list[str]
) -> None:
    with writer(writer_settings) as connection:
        for statement in statements:
            before = clock(reader)
            with suppress(psycopg.errors.DivisionByZero):
                connection.execute(statement)
        began = clock(reader)
        time.sleep(0.2)
        assert read_horizon(reader, 0).moment < began
        assert f"session {connection.info.backend_pid} " in (blocking_session(reader, 0) or "")
        connection.execute("rollback")
        assert read_horizon(reader, 0).moment > before
        assert blocking_session(reader, 0) is None


def test_a_replication_stream_holds_nothing_back(sandbox: Sandbox, settings: Settings, reader: Connection) -> None:
    dsn = make_conninfo(sandbox.postgres.dsn(settings.postgres_db), replication="database")
    stream = pq.PGconn.connect(dsn.encode())
    slot = f"stream_{settings.postgres_db}"
    try:
        stream.exec_(f"CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput".encode())
        result = stream.exec_(
            f"START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '1', publication_names 'p')".encode()
        )
        assert result.status == pq.ExecStatus.COPY_BOTH, result.error_message
        assert reader.execute("select state from pg_stat_activity where backend_type = 'walsender'").fetchall() == [
            ("active",)
        ]
        assert blocking_session(reader, 0) is None
    finally:
        stream.finish()


def test_sql_of_a_replication_session_holds_it_back(sandbox: Sandbox, settings: Settings, reader: Connection) -> None:
    dsn = make_conninfo(sandbox.postgres.dsn(settings.postgres_db), replication="database")
    session = pq.PGconn.connect(dsn.encode())
    try:
        session.send_query(b"begin; select 1; commit; begin; select pg_sleep(0.5); commit")
        until(lambda: f"session {session.backend_pid} " in (blocking_session(reader, 0) or ""))
    finally:
        session.finish()


def test_a_transaction_that_began_hidden_makes_the_horizon_unknown(
    sandbox: Sandbox, settings: Settings, reader: Connection
) -> None:
    with superuser(sandbox, settings) as connection:
        connection.execute("set track_activities = off")
        connection.execute("begin")
        connection.execute("set track_activities = on")
        reason = "a session began its transaction with track_activities off"
        assert read_horizon(reader, 0).unknown_reason == reason
        with sending(connection, "create temp table t (id int); select pg_sleep(0.5)"):
            time.sleep(0.2)
            assert read_horizon(reader, 0).unknown_reason == reason
        connection.execute("commit")
        assert read_horizon(reader, 0).unknown_reason is None


def test_a_trigger_on_login_writes_the_time_of_the_connection(
    sandbox: Sandbox, settings: Settings, reader: Connection
) -> None:
    """The client sends its password late; the trigger's now() is the time at which the client connected."""
    with superuser(sandbox, settings) as administrator:
        administrator.execute("create function noted() returns event_trigger language plpgsql as $$ begin end $$")
        before = clock(reader)
        with slow_login(reader, sandbox.postgres.dsn(settings.postgres_db)):
            assert read_horizon(reader, 0).moment > before, "without a trigger nothing is written"
        administrator.execute("create event trigger on_login on login execute function noted()")
        with slow_login(reader, sandbox.postgres.dsn(settings.postgres_db)):
            connected = clock(reader)
            time.sleep(0.2)
            assert read_horizon(reader, 0).moment < connected
        administrator.execute("drop event trigger on_login")


@contextmanager
def slow_login(reader: Connection, dsn: str) -> Iterator[None]:
    """Connect a client up to the server's request for its password."""
    starting = "select true from pg_stat_activity where state = 'starting'"
    connection = pq.PGconn.connect_start(dsn.encode())
    try:
        while reader.execute(starting).fetchone() is None:
            select.select([], [connection.socket], [], 0.1)
            connection.connect_poll()
        time.sleep(0.15)
        yield
    finally:
        connection.finish()
        while reader.execute(starting).fetchone():
            time.sleep(0.01)
