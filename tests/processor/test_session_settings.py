"""Settings of the role or the database neither change the rows that are read nor end an extract."""

import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from adventure.core.connect import postgres_error
from adventure.core.errors import SourceUnavailable
from adventure.core.files import ParquetParts
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox import Sandbox
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline, process_once
from adventure.processor.state import read_watermarks
from adventure.reconcile.run import reconcile
from tests.processor.conftest import Rows, stream_of, superuser, writer

Staged = Callable[[Stream], Rows]

OF_THE_READER = {
    "row_security": "on",
    "search_path": "elsewhere, pg_catalog",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "TimeZone": "Asia/Kolkata",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "xmlbinary": "hex",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "statement_timeout": "200ms",
    "lock_timeout": "200ms",
    "idle_in_transaction_session_timeout": "200ms",
    "idle_session_timeout": "200ms",
    "transaction_timeout": "200ms",
}


@pytest.fixture
def set_on(sandbox: Sandbox, settings: Settings) -> Callable[[str, dict[str, str]], None]:
    """Set settings of a role in the test's source database, or of the database if no role is given."""

    def change(of: str, values: dict[str, str]) -> None:
        with superuser(sandbox, settings) as connection:
            for name, value in values.items():
                listed = ", ".join(part.strip() if name == "search_path" else f"'{part}'" for part in [value])
                connection.execute(f"alter {of} set {name} = {listed}")  # type: ignore[arg-type]

    return change


def reader(settings: Settings) -> str:
    return f'role adventure_reader in database "{settings.postgres_db}"'


def test_values_do_not_depend_on_settings(
    settings: Settings, writer_settings: Settings, staged: Staged, set_on: Any, sandbox: Sandbox
) -> None:
    with superuser(sandbox, settings) as connection:
        connection.execute("create schema elsewhere; grant usage on schema elsewhere to public")
        connection.execute(
            "create function elsewhere.convert_to(text, text) returns bytea language sql return 'wrong'::bytea"
        )
    with writer(writer_settings) as connection:
        connection.execute(
            "create table things (id int primary key, changed_at timestamptz not null default now(), f float8[],"
            " b bytea[], day date[], span interval, range tstzrange, kind regclass, note text)"
        )
        connection.execute("create index on things (changed_at)")
        connection.execute(
            r"""insert into things select n, now(), '{0.1,3.3333333333333335}', array['\xff00'::bytea], '{2024-02-01}',
            '1 day 02:03:04', '[2024-02-01 00:00+00,2024-02-02 00:00+00)', 'things', 'back\slash'
            from (values (1)) as v(n)"""
        )
    plain = stream_of("things", name="plain", stage="plain_stage", raw_table="raw_ext.plain_raw")
    process_once(settings, [plain])
    set_on(reader(settings), OF_THE_READER | {"search_path": "elsewhere, pg_catalog"})
    things = stream_of("things")
    process_once(settings, [things])
    assert staged(things) == staged(plain)
    assert staged(things)[0]["range"] == '["2024-02-01 00:00:00+00","2024-02-02 00:00:00+00")'
    for stream in (things, plain):
        (report,) = reconcile(settings, [stream])
        assert report.result is not None
        assert report.result.count("in flight") == 1, "it is staged in this version"


@pytest.mark.parametrize(
    "name",
    [
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
        "transaction_timeout",
    ],
)
@pytest.mark.parametrize("whose", ["source", "state"])
def test_a_timeout_of_the_role_does_not_end_an_extract(
    sandbox: Sandbox,
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
    staged: Staged,
    set_on: Any,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    whose: str,
) -> None:
    of = reader(settings) if whose == "source" else f'database "{settings.postgres_db}_state"'
    set_on(of, {name: "150ms"})
    with writer(writer_settings) as connection:
        connection.execute("insert into things (id) values (1)")

    def write_slowly(parts: ParquetParts, batch: Any) -> None:
        time.sleep(0.4)
        write(parts, batch)

    write = ParquetParts.write
    monkeypatch.setattr(ParquetParts, "write", write_slowly)
    with open_pipeline(settings, [things]) as pipeline:
        for number in (2, 3):
            time.sleep(0.4)
            assert run_cycle(pipeline).failures == {}
            with writer(writer_settings) as connection:
                connection.execute("insert into things (id) values (%s)", [number])
    assert [row["id"] for row in staged(things)] == [1, 2]


def test_settings_of_the_state_database_do_not_stop_a_watermark(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged, set_on: Any
) -> None:
    names = ("default_transaction_read_only", "default_transaction_isolation", "default_transaction_deferrable")
    set_on(f'database "{settings.postgres_db}_state"', {name: OF_THE_READER[name] for name in names})
    with writer(writer_settings) as connection:
        connection.execute("insert into things (id) values (1)")
    process_once(settings, [things])
    assert set(read_watermarks(settings)) == {"things"}


def test_a_key_of_an_extension_is_compared_whatever_the_search_path_is(
    sandbox: Sandbox, settings: Settings, set_on: Any
) -> None:
    with superuser(sandbox, settings) as connection:
        connection.execute("create schema tools; create extension vector schema tools")
        connection.execute("grant usage on schema tools to public")
        connection.execute("create table things (id tools.vector(2), changed_at timestamptz not null default now())")
        connection.execute("insert into things values ('[1,2]'); grant select on things to adventure_reader")
    set_on(reader(settings), {"search_path": "pg_catalog"})
    things = stream_of("things")
    process_once(settings, [things])
    DuckDBWarehouse(settings).load(things)
    (report,) = reconcile(settings, [things])
    assert report.is_clean
    with superuser(sandbox, settings) as connection:
        connection.execute("delete from things where id::text = '[1,2]'")
    (report,) = reconcile(settings, [things], repair=True)
    assert report.repaired is not None
    assert report.repaired.deleted == 1


@pytest.mark.parametrize(
    ("sqlstate", "name"),
    [
        ("57014", "statement_timeout"),
        ("55P03", "lock_timeout"),
        ("25P03", "idle_in_transaction_session_timeout"),
        ("25P04", "transaction_timeout"),
        ("57P05", "idle_session_timeout"),
    ],
)
def test_an_error_names_the_setting_that_ended_the_session(settings: Settings, sqlstate: str, name: str) -> None:
    """A pooler or an administrator may override the session's own settings."""
    error = psycopg.errors.lookup(sqlstate)("terminating connection due to a timeout")
    error.sqlstate = sqlstate
    found = postgres_error(error, settings.postgres_dsn, "the source database")
    assert isinstance(found, SourceUnavailable)
    assert name in found.remedy


def test_the_server_itself_ends_a_statement_and_the_error_names_the_setting(settings: Settings) -> None:
    from adventure.core.connect import translating_postgres
    from adventure.sources.postgres.session import open_session

    with (
        open_session(settings) as connection,
        pytest.raises(SourceUnavailable, match="statement_timeout"),
        translating_postgres(settings.postgres_dsn, "the source database"),
    ):
        connection.execute("set statement_timeout = 20; select pg_sleep(5)")
