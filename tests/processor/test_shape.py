"""Test columns, exclude, where, hash and start of a stream, and column privileges, on a PostgreSQL table."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, LiteralString

import orjson
import psycopg
import pytest
from pydantic import SecretStr

from adventure.core.errors import SourceError, SourceRefused, SourceShapeError, WatermarkMismatch
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.factory import open_probe, open_warehouse
from adventure.processor.run import process_once
from adventure.processor.state import read_watermarks
from adventure.reconcile.run import reconcile
from adventure.sources.postgres.snapshot import PostgresSnapshot
from adventure.sources.source import Extract
from tests.processor.conftest import Rows, stream_of, writer

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def people(writer_settings: Settings) -> Stream:
    """Four people in a table with a secret, and a stream that reads it."""
    with writer(writer_settings) as connection:
        connection.execute(
            "create table people (id integer primary key, changed_at timestamp not null"
            " default (now() at time zone 'utc'), name text, mail text, age integer)"
        )
        connection.execute("create index on people (changed_at)")
        connection.execute(
            "insert into people (id, changed_at, name, mail, age) values"
            " (1, '2020-01-01', 'Ada', 'ada@x.org', 36), (2, '2021-01-01', 'Bob', null, 20),"
            " (3, '2022-01-01', 'Cy', 'cy@x.org', 70), (4, '2023-01-01', 'Dé', 'dé@x.org', 5)"
        )
    return stream_of("people", name="people", stage="people_stage", raw_table="raw_ext.people_raw")


def hashed(text: str) -> str:
    return hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


def check_warehouse(settings: Settings, stream: Stream, *, rows: int) -> None:
    """Load the stream, and compare whole rows with the source."""
    open_warehouse(settings).load(stream)
    (report,) = reconcile(settings, [stream], rows=True)
    assert report.result
    assert (report.result.rows, report.result.verdicts) == (rows, {})


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"columns": ("id", "changed_at", "name")}, [{"id", "changed_at", "name"}, {1, 2, 3, 4}]),
        ({"exclude": ("mail",)}, [{"id", "changed_at", "name", "age"}, {1, 2, 3, 4}]),
        ({"where": "age >= 20 -- adults"}, [{"id", "changed_at", "name", "mail", "age"}, {1, 2, 3}]),
        ({"where": "name <> '100%; {}'", "exclude": ("name",)}, [{"id", "changed_at", "mail", "age"}, {1, 2, 3, 4}]),
        ({"start": datetime(2021, 1, 1)}, [{"id", "changed_at", "name", "mail", "age"}, {2, 3, 4}]),
    ],
)
def test_only_the_chosen_columns_and_rows_are_read(
    settings: Settings,
    people: Stream,
    staged: Callable[[Stream], Rows],
    shape: dict[str, Any],
    expected: list[set[Any]],
) -> None:
    stream = replace(people, **shape)
    process_once(settings, (stream,))
    rows = staged(stream)
    assert [set(rows[0]), {row["id"] for row in rows}] == expected
    mark = read_watermarks(settings)["people"]
    with open_probe("postgres", settings) as probe:
        assert probe.counts(stream, mark).rows == len(rows), "check counts the same rows"
    check_warehouse(settings, stream, rows=len(rows))


def test_a_hash_is_computed_by_the_server(settings: Settings, people: Stream, staged: Callable[[Stream], Rows]) -> None:
    settings = settings.model_copy(update={"hash_key": SecretStr(KEY)})
    stream = replace(people, hash=("mail", "age"), hash_key=settings.hash_key)
    process_once(settings, (stream,))
    assert [(row["mail"], row["age"]) for row in staged(stream)] == [
        (hashed("ada@x.org"), hashed("36")),
        (None, hashed("20")),
        (hashed("cy@x.org"), hashed("70")),
        (hashed("dé@x.org"), hashed("5")),
    ]
    check_warehouse(settings, stream, rows=4)


def test_a_rejected_row_holds_no_hidden_value(
    settings: Settings, writer_settings: Settings, people: Stream, rejected: Callable[[Stream], Rows]
) -> None:
    with writer(writer_settings) as connection:
        connection.execute("update people set changed_at = 'infinity' where id = 1")
    settings = settings.model_copy(update={"hash_key": SecretStr(KEY)})
    stream = replace(people, hash=("mail",), exclude=("age",), hash_key=settings.hash_key)
    process_once(settings, (stream,))
    (row,) = rejected(stream)
    shown = orjson.loads(row["row"])
    assert shown["mail"] == hashed("ada@x.org")
    assert set(shown) == {"id", "changed_at", "name", "mail"}


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ({"where": "agee > 1"}, "its where is no condition on public.people.*agee"),
        ({"where": "age"}, "its where is no condition on public.people"),
        ({"where": "true); drop table people; select (1"}, "its where is no condition on public.people"),
        ({"exclude": ("maill",)}, "has no column maill, which exclude names"),
        ({"columns": ("id", "changed_at", "nme")}, "has no column nme, which columns names"),
    ],
)
def test_a_wrong_shape_refuses_the_stream(
    settings: Settings,
    writer_settings: Settings,
    people: Stream,
    things: Stream,
    staged: Callable[[Stream], Rows],
    shape: dict[str, Any],
    sentence: str,
) -> None:
    with writer(writer_settings) as connection:
        connection.execute("insert into things (id) values (1)")
    with pytest.raises(SourceShapeError, match=sentence):
        process_once(settings, (replace(people, **shape), things))
    assert staged(things)


def test_another_condition_needs_a_reset(settings: Settings, people: Stream) -> None:
    process_once(settings, (replace(people, where="age > 30"),))
    with pytest.raises(WatermarkMismatch, match="was reached with where = 'age > 30'"):
        process_once(settings, (people,))


@pytest.fixture
def reader_of_some(settings: Settings, writer_settings: Settings, people: Stream) -> Settings:
    """Take the reader's privilege on the table, and give it that on four of the five columns."""
    with writer(writer_settings) as connection:
        connection.execute("revoke select on people from adventure_reader")
        connection.execute("grant select (id, changed_at, name, age) on people to adventure_reader")
    return settings


def test_column_privileges_are_honoured(
    reader_of_some: Settings, people: Stream, staged: Callable[[Stream], Rows], capsys: pytest.CaptureFixture[str]
) -> None:
    assert not process_once(reader_of_some, (people,)).failures
    assert {tuple(row) for row in staged(people)} == {("id", "changed_at", "name", "age")}
    assert "people: leaves out mail of public.people" in capsys.readouterr().out
    check_warehouse(reader_of_some, people, rows=4)


@pytest.mark.parametrize("shape", [{"columns": ("id", "changed_at", "mail")}, {"key": ("mail",)}])
def test_a_needed_column_that_is_hidden_refuses_the_stream(
    reader_of_some: Settings, people: Stream, shape: dict[str, Any]
) -> None:
    with pytest.raises(SourceRefused, match=r"may not read the column mail of public.people. grant select"):
        process_once(reader_of_some, (replace(people, **shape),))


@pytest.mark.parametrize("statement", ["truncate people", "alter table people alter age type bigint"])
def test_a_table_that_is_changed_while_it_is_read_is_read_again(
    reader_of_some: Settings,
    writer_settings: Settings,
    people: Stream,
    staged: Callable[[Stream], Rows],
    monkeypatch: pytest.MonkeyPatch,
    statement: LiteralString,
) -> None:
    """Without the privilege on the whole table, the processor cannot lock it."""
    original = PostgresSnapshot._extract
    done: list[Any] = []

    def changing(self: PostgresSnapshot, stream: Stream, folder: Path) -> Extract:
        if not done:
            # The first query takes the snapshot.
            with self.reader.batches(self.windows.plans["people"], "select 1") as batches:
                done.extend(batches)
            with writer(writer_settings) as connection:
                connection.execute(statement)
        return original(self, stream, folder)

    monkeypatch.setattr(PostgresSnapshot, "_extract", changing)
    with pytest.raises(SourceError, match="was altered or truncated while it was read"):
        process_once(reader_of_some, (people,))
    assert staged(people) == []
    assert not process_once(reader_of_some, (people,)).failures
    with psycopg.connect(writer_settings.postgres_dsn) as connection:
        count = connection.execute("select count(*) from people").fetchone()
    assert count == (len(staged(people)),)
