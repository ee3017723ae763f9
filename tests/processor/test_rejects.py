"""Rows that cannot be converted are rejected whole and once, with key and reason, whatever their key or text."""

import base64
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import orjson
import psycopg
import pytest
from psycopg import sql

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox import Sandbox
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline, process_once
from tests.processor.conftest import Rows, stream_of, writer

Staged = Callable[[Stream], Rows]

ODD = stream_of("odd", types={"n": "decimal(38,9)"})
STAMP = "changed_at timestamp default (clock_timestamp() at time zone 'utc')"


def make(settings: Settings, columns: str, *statements: str) -> None:
    """Create a table `odd` with these columns and an index on its cursor, and insert the rows; return its stream."""
    with writer(settings) as connection:
        connection.execute(f"create table odd ({columns}, {STAMP})")  # type: ignore[arg-type]
        connection.execute("create index on odd (changed_at)")
        for statement in statements:
            connection.execute(statement)  # type: ignore[arg-type]


def reasons(rows: Rows) -> list[tuple[str, str]]:
    return sorted((row["key"], row["reason"]) for row in rows)


@pytest.mark.parametrize(
    ("kind", "value", "key"),
    [
        ("integer", "null", "NULL"),
        ("timestamp", "'2026-01-02 03:04:05.7'", "2026-01-02 03:04:05.7"),
        ("timestamp", "'infinity'", "infinity"),
        ("numeric", "'1.10'", "1.10"),
        ("numeric", "'NaN'", "NaN"),
        ("boolean", "true", "true"),
        ("bytea", "'\\x00ff'", "\\x00ff"),
        ("double precision", "'1e300'", "1e+300"),
    ],
)
def test_a_key_of_any_type_names_its_row(
    settings: Settings, writer_settings: Settings, staged: Staged, rejected: Staged, kind: str, value: str, key: str
) -> None:
    make(writer_settings, f"id {kind}, n numeric", f"insert into odd values ({value}, 'NaN')")
    process_once(settings, [ODD])
    (found,) = rejected(ODD)
    assert (found["key"], orjson.loads(found["row"])["n"], staged(ODD)) == (key, "NaN", [])


def test_only_one_of_two_rows_with_the_same_key_is_rejected(
    settings: Settings, writer_settings: Settings, staged: Staged, rejected: Staged
) -> None:
    make(writer_settings, "id int, n numeric", "insert into odd values (1, 'NaN'), (1, 2)")
    process_once(settings, [ODD])
    assert ([row["n"] for row in staged(ODD)], len(rejected(ODD))) == ([Decimal(2)], 1)


def test_trailing_zeros_do_not_count_as_digits(settings: Settings, writer_settings: Settings, staged: Staged) -> None:
    number = "1" * 27 + ".5" + "0" * 20
    make(writer_settings, "id int, n numeric", f"insert into odd values (1, {number}), (2, {'0.' + '0' * 30})")
    process_once(settings, [ODD])
    assert [row["n"] for row in staged(ODD)] == [Decimal(number), Decimal(0)]


def test_rows_without_a_key_or_cursor_are_rejected_in_the_first_window(
    settings: Settings, writer_settings: Settings, staged: Staged, rejected: Staged
) -> None:
    rows = "(1, default), (null, default), (3, null), (4, 'infinity'), (5, '-infinity')"
    make(writer_settings, "id int", f"insert into odd (id, changed_at) values {rows}")
    (report,) = process_once(settings, [ODD]).streams
    assert [row["id"] for row in staged(ODD)] == [1]
    assert reasons(rejected(ODD)) == [
        ("3", "its cursor changed_at is NULL or infinite"),
        ("4", "its cursor changed_at is NULL or infinite; changed_at is infinite or not within the years 1 to 9999"),
        ("5", "changed_at is infinite or not within the years 1 to 9999"),
        ("NULL", "id, of its key, is NULL"),
    ]
    assert (report.rows_staged, report.rows_rejected) == (1, 4)
    assert process_once(settings, [ODD]).streams[0].window is None


def test_rows_that_lose_their_cursor_are_logged_when_their_number_changes(
    settings: Settings, writer_settings: Settings, capsys: pytest.CaptureFixture[str], staged: Staged
) -> None:
    make(writer_settings, "id int", "insert into odd values (1)")
    with open_pipeline(settings, [ODD]) as pipeline, writer(writer_settings) as connection:
        for statement in ("insert into odd values (2, null)", "select 1", "insert into odd values (3, 'infinity')"):
            connection.execute(statement)  # type: ignore[arg-type]
            run_cycle(pipeline)
        logged = [line for line in capsys.readouterr().out.splitlines() if "have no cursor" in line]
        assert ["1 rows" in logged[0], "2 rows" in logged[1], len(logged)] == [True, True, 2]
        connection.execute("update odd set changed_at = default")
        time.sleep(0.15)
        run_cycle(pipeline)
    assert {row["id"] for row in staged(ODD)} == {1, 2, 3}


def test_all_rows_of_a_window_may_be_rejected(settings: Settings, writer_settings: Settings, rejected: Staged) -> None:
    make(writer_settings, "id int", "insert into odd values (1, '-infinity')")
    process_once(settings, [ODD])
    assert len(rejected(ODD)) == 1
    warehouse = DuckDBWarehouse(settings)
    warehouse.load(ODD)
    assert warehouse.execute("select stream, key from raw_ext.rejected_rows") == [("things", "1")]


def test_rows_that_the_lookback_reads_again_are_rejected_once(
    settings: Settings, writer_settings: Settings, rejected: Staged
) -> None:
    make(writer_settings, "id int, n numeric", "insert into odd values (1, 'NaN')")
    time.sleep(0.15)
    with open_pipeline(settings, [replace(ODD, lookback=timedelta(seconds=60))]) as pipeline:
        run_cycle(pipeline)
        assert run_cycle(pipeline).streams[0].window is None
        with writer(writer_settings) as connection:
            connection.execute("update odd set n = 'Infinity'")
        run_cycle(pipeline)
    assert sorted(orjson.loads(row["row"])["n"] for row in rejected(ODD)) == ["Infinity", "NaN"]


@pytest.fixture
def of_encoding(sandbox: Sandbox, settings: Settings, writer_settings: Settings) -> Callable[[str], list[Settings]]:
    """Create a database with another encoding; return the settings to read it and to write it."""

    def create(encoding: str) -> list[Settings]:
        name = f"{settings.postgres_db}_{encoding.lower()}"
        with psycopg.connect(sandbox.postgres.dsn(), autocommit=True) as connection:
            statement = "create database {} encoding {} template template0 locale 'C' owner sales_app"
            connection.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Literal(encoding)))  # type: ignore[arg-type]
        with psycopg.connect(sandbox.postgres.dsn(name), autocommit=True) as connection:
            connection.execute(
                "grant usage on schema public to adventure_reader; grant create on schema public to sales_app"
            )
            connection.execute("alter default privileges for role sales_app grant select on tables to adventure_reader")
        return [each.model_copy(update={"postgres_db": name}) for each in (settings, writer_settings)]

    return create


def test_text_that_is_not_utf8_is_rejected_byte_for_byte(
    of_encoding: Callable[[str], list[Settings]], staged: Staged, rejected: Staged
) -> None:
    settings, writer_settings = of_encoding("SQL_ASCII")
    texts = {
        1: "naïve 🚲".encode(),
        2: b"caf\xe9",
        3: b"",
        4: b"\xed\xa0\x80",
        5: b"\xf4\x8f\xbf\xbf",
        6: b"\xf4\x90\x80\x80",
    }
    make(writer_settings, "id int, note text, list text[]")
    with psycopg.connect(writer_settings.postgres_dsn, client_encoding="SQL_ASCII") as connection:
        for key, text in texts.items():
            literal = "".join(f"\\x{byte:02x}" for byte in text)
            statement = f"insert into odd values ({key}, E'{literal}', array[E'{literal}'])".encode()
            connection.execute(statement)
    process_once(settings, [ODD])
    assert {row["id"]: row["note"].encode() for row in staged(ODD)} == {key: texts[key] for key in (1, 3, 5)}
    assert reasons(rejected(ODD)) == [
        (key, "note is not text in UTF-8; list is not text in UTF-8") for key in ("2", "4", "6")
    ]
    kept = {row["key"]: base64.b64decode(row["row"]) for row in rejected(ODD)}
    assert all(texts[int(key)] in row for key, row in kept.items())
    warehouse = DuckDBWarehouse(settings)
    warehouse.load(ODD)
    assert warehouse.execute("select count(*) from raw_ext.things_raw") == [(3,)]


@pytest.mark.parametrize("encoding", ["LATIN1", "WIN1252", "EUC_JP"])
def test_text_of_other_encodings_arrives_as_utf8(
    of_encoding: Callable[[str], list[Settings]], staged: Staged, encoding: str
) -> None:
    settings, writer_settings = of_encoding(encoding)
    text = "日本" if encoding == "EUC_JP" else "café"
    make(writer_settings, "id int, note text, list text[]", f"insert into odd values (1, '{text}', array['{text}'])")
    process_once(settings, [ODD])
    assert [(row["note"], row["list"]) for row in staged(ODD)] == [(text, f"{{{text}}}")]
