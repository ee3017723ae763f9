"""Both sessions that extract rows keep one contract: equal values, equal errors, and a connection that goes on.

`decoder` is the wheel adventure-pipeline-decoder, and tested where it is installed; `adbc` is always there.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import sql

from adventure.core import stopping
from adventure.core.errors import SourceError, SourceRefused, SourceUnavailable
from adventure.core.settings import Settings
from adventure.sources.postgres import decoder
from adventure.sources.postgres.columns import plan_column
from adventure.sources.postgres.copy import CopySession
from adventure.sources.postgres.copy_adbc import AdbcSession
from adventure.sources.postgres.copy_session import open_copy_session
from adventure.sources.postgres.session import extracting_conninfo, session_settings, source_name
from tests.processor.conftest import writer
from tests.waiting import until

INSTALLED = decoder.is_installed()
needs_decoder = pytest.mark.skipif(not INSTALLED, reason="adventure-pipeline-decoder is not installed")
KINDS = ["adbc", pytest.param("decoder", marks=needs_decoder)]
MANY = "select generate_series(1, 100000000) as i"
"""A result that no test reads to its end."""

Connect = Callable[..., CopySession]


def opened(settings: Settings, *, silence: float = 30.0, encoding: str = "UTF8") -> CopySession:
    """Return a session with the settings of one that extracts."""
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        conninfo = extracting_conninfo(connection, settings.postgres_dsn, source_name(settings))
        statements = session_settings(connection, encoding)
    session = open_copy_session(conninfo, source_name(settings), silence)
    session.execute(statements)
    return session


@pytest.fixture(params=KINDS)
def connect(request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Open sessions of one kind; the columns' expressions are chosen for it as well."""
    monkeypatch.setattr(decoder, "is_installed", lambda: request.param == "decoder")
    sessions: list[CopySession] = []

    def connect(**options: Any) -> CopySession:
        sessions.append(opened(settings, **options))
        return sessions[-1]

    yield connect
    for session in sessions:
        session.close()


def rows(session: CopySession, query: str, **types: pa.DataType) -> list[tuple[Any, ...]]:
    with session.batches(query, types) as batches:
        return [row for batch in batches for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)]


def pid(session: CopySession) -> int:
    return int(rows(session, "select pg_backend_pid()")[0][0])


def test_the_kind_is_chosen_by_what_is_installed(connect: Connect) -> None:
    assert isinstance(connect(), AdbcSession) is not decoder.is_installed()


def test_rows_come_in_batches_of_a_few_megabytes(connect: Connect) -> None:
    session = connect()
    with session.batches("select i, repeat('x', 100) as t from generate_series(1, 100000) as i") as batches:
        found = list(batches)
    assert len(found) > 3
    assert all(batch.nbytes < 4 << 20 for batch in found)
    assert [value for batch in found for value in batch["i"].to_pylist()] == list(range(1, 100_001))


def test_a_result_without_rows(connect: Connect) -> None:
    assert rows(connect(), "select 1 as i where false") == []


def test_a_transaction_sees_one_snapshot_and_is_rolled_back(connect: Connect, writer_settings: Settings) -> None:
    session = connect()
    with writer(writer_settings) as other:
        other.execute("create table t as select 1 as i")
        with session.transaction():
            assert rows(session, "select i from t") == [(1,)]
            other.execute("insert into t values (2)")
            assert rows(session, "select i from t") == [(1,)]
        assert sorted(rows(session, "select i from t")) == [(1,), (2,)]


@pytest.mark.parametrize(
    ("query", "error", "said"),
    [
        ("select 1 / (i - 90000) from generate_series(1, 100000) as i", SourceError, "division by zero"),
        ("select nothing from nowhere", SourceError, 'relation "nowhere" does not exist'),
        ("select rolname from pg_authid", SourceRefused, "permission denied"),
        ("select 'a' as", SourceError, "syntax error"),
    ],
)
def test_an_error_of_the_server_has_its_kind_and_the_session_goes_on(
    connect: Connect, query: str, error: type[Exception], said: str
) -> None:
    session = connect()
    for _ in range(2):
        with pytest.raises(SourceError, match=said) as found:
            rows(session, query)
        assert type(found.value) is error
        assert rows(session, "select 1") == [(1,)]


def test_a_statement_that_fails_in_a_transaction_is_undone_by_a_savepoint(connect: Connect) -> None:
    session = connect()
    with session.transaction():
        session.execute("savepoint before")
        for run in (lambda: rows(session, "select 1 / 0"), lambda: session.execute("select 1 / 0")):
            with pytest.raises(SourceError, match="division by zero"):
                run()
            session.execute("rollback to savepoint before")
            assert rows(session, "select 1") == [(1,)]


def test_a_statement_timeout_is_no_refusal(connect: Connect) -> None:
    session = connect()
    session.execute("set statement_timeout = 300")
    with pytest.raises(SourceUnavailable, match="ended our statement"):
        rows(session, MANY)
    session.execute("set statement_timeout = 0")
    assert rows(session, "select 1") == [(1,)]


@pytest.mark.parametrize("error", [None, KeyError()], ids=["at_its_end", "by_an_error"])
def test_a_result_that_is_left_early_is_cancelled(
    connect: Connect, settings: Settings, error: Exception | None
) -> None:
    session = connect()
    number = pid(session)
    with suppress(KeyError), session.batches(MANY) as batches:
        next(batches)
        raise KeyError
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as other:
        query = "select state from pg_stat_activity where pid = %s"
        until(lambda: other.execute(query, [number]).fetchone() == ("idle",))
    assert rows(session, "select 1") == [(1,)]


@pytest.mark.parametrize("run", ["batches", "execute"])
def test_a_signal_cancels_what_runs(connect: Connect, settings: Settings, run: str) -> None:
    """What `stopping` does from its own thread."""
    session = connect()
    number = pid(session)

    query = "select count(*) from pg_stat_activity where pid = %s and state = 'active' and query like '%%pg_sleep%%'"

    def cancel() -> None:
        with psycopg.connect(settings.postgres_dsn, autocommit=True) as other:
            until(lambda: other.execute(query, [number]).fetchone() == (1,))
        for each in tuple(stopping._cancels):
            each()

    thread = threading.Thread(target=cancel)
    thread.start()
    calls: dict[str, Callable[[], object]] = {
        "execute": lambda: session.execute("select pg_sleep(60)"),
        "batches": lambda: rows(session, "select pg_sleep(60)::text"),
    }
    with pytest.raises(SourceUnavailable, match="canceling statement"):
        calls[run]()
    thread.join()
    assert rows(session, "select 1") == [(1,)]


def reads_on_after(session: CopySession, act: Callable[[], object]) -> None:
    """Read a long result, and act after its first batch."""
    with session.batches(MANY) as batches:
        next(batches)
        act()
        list(batches)


def test_a_connection_that_is_lost_within_a_result(connect: Connect, settings: Settings) -> None:
    session = connect()
    number = pid(session)
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as other, pytest.raises(SourceUnavailable):
        reads_on_after(session, lambda: other.execute("select pg_terminate_backend(%s)", [number]))
    with pytest.raises(SourceUnavailable):
        session.execute("select 1")
    session.close()


@pytest.mark.parametrize("within", ["result", "statement"])
def test_a_server_that_stops_is_given_up(connect: Connect, within: str) -> None:
    session = connect(silence=0.5)
    number = pid(session)

    def in_a_statement() -> None:
        os.kill(number, signal.SIGSTOP)
        session.execute("select 1")

    calls: dict[str, Callable[[], object]] = {
        "statement": in_a_statement,
        "result": lambda: reads_on_after(session, lambda: os.kill(number, signal.SIGSTOP)),
    }
    try:
        with pytest.raises(SourceUnavailable, match=r"nothing came for 0\.5 s"):
            calls[within]()
    finally:
        os.kill(number, signal.SIGCONT)


def test_a_wrong_password_is_refused(settings: Settings, connect: Connect) -> None:
    wrong = settings.model_copy(update={"postgres_password": "wrong"})
    conninfo = psycopg.conninfo.make_conninfo(settings.postgres_dsn, password="wrong")
    with pytest.raises(SourceRefused):
        open_copy_session(conninfo, source_name(wrong), 5.0)


def test_bytes_that_are_no_utf8_arrive_in_a_session_without_encoding(connect: Connect) -> None:
    """As from a server with SQL_ASCII, whose text nobody has checked."""
    session = connect(encoding="SQL_ASCII")
    with session.batches("select convert_from('\\x61'::bytea, 'UTF8') || 'é' as t") as batches:
        (batch,) = batches
    assert batch["t"].cast(pa.binary()).to_pylist() == ["aé".encode()]


def test_a_query_of_megabytes(connect: Connect) -> None:
    """One that names many keys does not fit into the socket's buffer."""
    assert rows(connect(), f"select length('{'x' * 20_000_000}')") == [(20_000_000,)]


def test_a_value_of_megabytes(connect: Connect) -> None:
    ((text, data),) = rows(connect(), "select repeat('é', 600000) as t, convert_to(repeat('x', 1000000), 'UTF8') as b")
    assert text == "é" * 600_000
    assert data == b"x" * 1_000_000


# --- Values: what is staged must not depend on who decodes

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
DIGITS = st.text("0123456789", min_size=1, max_size=45)
NUMERIC = st.builds("{}{}.{}".format, st.sampled_from(["", "-"]), DIGITS, DIGITS) | st.sampled_from(
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "0",
        "-0",
        "0.000",
        "1e100",
        "1e-100",
        "9" * 38,
        "1" + "0" * 38,
        "99999.99",
        "1.50",
    ]
)
TIMES = ["infinity", "-infinity", "4713-01-01 BC", "0001-01-01 BC", "0001-01-01", "9999-12-31", "10000-01-01"]
DAY = st.dates().map(str) | st.sampled_from([*TIMES, "5874897-12-31"])
MOMENT = st.datetimes().map(str) | st.sampled_from([*TIMES, "294276-12-31 23:59:59.999999"])
FLOAT = st.floats().map(repr) | st.sampled_from(["NaN", "Infinity", "-Infinity", "-0", "5e-324"])
TYPES: list[tuple[str, st.SearchStrategy[str]]] = [
    ("bool", st.sampled_from(["true", "false"])),
    ("int2", st.integers(-(2**15), 2**15 - 1).map(str)),
    ("int4", st.integers(-(2**31), 2**31 - 1).map(str)),
    ("int8", st.integers(-(2**63), 2**63 - 1).map(str)),
    ("float4", st.floats(width=32).map(repr) | st.sampled_from(["NaN", "-0", "1e-45"])),
    ("float8", FLOAT),
    ("numeric", NUMERIC),
    ("numeric(7,2)", st.decimals(-99999, 99999, places=2).map(str) | st.just("NaN")),
    ("numeric(38,18)", st.decimals(-(10**19), 10**19, places=18).map(str)),
    ("numeric(5,-2)", st.integers(-9_999_900, 9_999_900).map(str)),
    ("numeric(3,6)", st.decimals("-0.000999", "0.000999", places=6).map(str)),
    ("text", TEXT),
    ("varchar", TEXT),
    ("char(30)", TEXT),
    ("name", TEXT.map(lambda text: text[:15])),
    ("bytea", st.binary(max_size=20).map(lambda value: "\\x" + value.hex())),
    ("date", DAY),
    ("timestamp", MOMENT),
    ("timestamptz", MOMENT),
    ("uuid", st.uuids().map(str)),
    ("json", st.integers().map(str)),
    ("jsonb", st.integers().map(str)),
    ("interval", st.integers(-(10**6), 10**6).map("{} hours".format)),
    ("integer[]", st.lists(st.integers(0, 9)).map(lambda values: str(values).replace("[", "{").replace("]", "}"))),
]
CASES: list[tuple[str, st.SearchStrategy[str], str | None]] = [(*each, None) for each in TYPES]
CASES += [("numeric", NUMERIC, override) for override in ("decimal(7,2)", "decimal(38,18)", "text")]


def bits(values: pa.Array) -> list[Any]:
    """Return values that are equal only if all their bits are: NaN to NaN, and the sign of zero."""
    if pa.types.is_floating(values.type):
        return list(values.view(pa.int32() if values.type == pa.float32() else pa.int64()).to_pylist())
    return list(values.to_pylist())


@needs_decoder
@pytest.mark.parametrize(
    ("name", "strategy", "override"), CASES, ids=[f"{name} {override or ''}" for name, _, override in CASES]
)
def test_both_convert_each_value_and_reject_each_value_alike(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    strategy: st.SearchStrategy[str],
    override: str | None,
) -> None:
    sessions = {}
    with psycopg.connect(settings.postgres_dsn) as connection:
        query = "select typname from pg_type where oid = %s::regtype"
        ((kind,),) = connection.execute(query, [name]).fetchall()
        typmod = -1
        if name.startswith("numeric("):
            ((typmod,),) = connection.execute("select numerictypmodin(%s)", [name[8:-1].split(",")]).fetchall()
    for each in (True, False):
        monkeypatch.setattr(decoder, "is_installed", lambda each=each: each)
        sessions[each] = opened(settings), plan_column("v", kind, typmod, override)

    def staged(each: bool, source: str) -> list[Any]:
        """Return the type, all values, and whether each is rejected."""
        session, column = sessions[each]
        found: list[Any] = [column.type]
        decimals = {"v": column.type} if pa.types.is_decimal(column.type) else {}
        with session.batches(f"select {column.expression} from {source}", decimals) as batches:
            for batch in batches:
                converted, rejected = column.convert(batch.column(0))
                assert converted.type == column.type
                is_rejected = rejected.to_pylist() if rejected is not None else [False] * batch.num_rows
                found += zip(bits(converted), is_rejected, strict=True)
        return found

    @hypothesis_settings(max_examples=40)
    @given(st.lists(st.none() | strategy, max_size=60))
    def alike(values: list[str | None]) -> None:
        array = sql.Literal(values).as_string(None) if values else "'{}'"
        source = f"(select u.v::{name} as v from unnest({array}::text[]) with ordinality as u (v, n) order by n) as t"
        assert staged(True, source) == staged(False, source)

    alike()
    for session, _ in sessions.values():
        session.close()
