"""Values of PostgreSQL's types are staged exactly, or their row is rejected whole."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.processor.run import process_once
from tests.processor.conftest import Rows, stream_of, writer

Staged = Callable[[Stream], Rows]

UUID = "123e4567-e89b-42d3-a456-426614174000"

CONVERTED = [
    ("smallint", "-32768", -32768),
    ("integer", "2147483647", 2147483647),
    ("bigint", "-9223372036854775808", -(2**63)),
    ("boolean", "true", True),
    ("real", "'1.5'", 1.5),
    ("double precision", "'-1e308'", -1e308),
    ("double precision", "'infinity'", math.inf),
    ("numeric(10,2)", "'12345678.91'", Decimal("12345678.91")),
    ("numeric(38,0)", "'99999999999999999999999999999999999999'", Decimal("9" * 38)),
    ("numeric(5,-2)", "'1234567'", Decimal("1234600")),
    ("numeric(3,5)", "'0.00123'", Decimal("0.00123")),
    ("numeric", "1::numeric / 3", "0.33333333333333333333"),
    ("numeric", "'1e30'", "1" + "0" * 30),
    ("numeric", "'1.10'", "1.10"),
    ("numeric", "'NaN'", "NaN"),
    ("numeric", "'-Infinity'", "-Infinity"),
    ("numeric(60,20)", "'" + "1234567890" * 4 + ".5'", "1234567890" * 4 + ".5" + "0" * 19),
    ("text", "'naïve 🚲 \\ tab\t'", "naïve 🚲 \\ tab\t"),
    ("text", "''", ""),
    ("varchar(5)", "'abc'", "abc"),
    ("char(5)", "'abc'", "abc  "),
    ("bytea", "'\\x00ff'", b"\x00\xff"),
    ("uuid", f"'{UUID}'", UUID),
    ("date", "'0001-01-01'", date(1, 1, 1)),
    ("date", "'9999-12-31'", date(9999, 12, 31)),
    ("timestamp", "'2026-02-03 04:05:06.789012'", datetime(2026, 2, 3, 4, 5, 6, 789012)),
    ("timestamp", "'0001-01-01 00:00:00'", datetime(1, 1, 1)),
    ("timestamp", "'9999-12-31 23:59:59.999999'", datetime(9999, 12, 31, 23, 59, 59, 999999)),
    ("timestamptz", "'2026-02-03 04:05:06.789012+02'", datetime(2026, 2, 3, 2, 5, 6, 789012)),
    ("json", """'{"b": 1.10, "a": null}'""", '{"b": 1.10, "a": null}'),
    ("jsonb", """'{"b": 1.10}'""", '{"b": 1.10}'),
    ("integer[]", "'{1,NULL,3}'", "{1,NULL,3}"),
    ("interval", "'1 day 02:03:04'", "1 day 02:03:04"),
    ("time", "'04:05:06.789'", "04:05:06.789"),
    ("timetz", "'04:05:06+02'", "04:05:06+02"),
    ("inet", "'192.0.2.1/24'", "192.0.2.1/24"),
    ("int4range", "'[1,5)'", "[1,5)"),
    ("money", "'12.34'", "$12.34"),
    ("point", "'(1,2)'", "(1,2)"),
    ("bit(3)", "'101'", "101"),
    ("mood", "'content'", "content"),
    ("positive", "'7'", 7),
]  # fmt: skip


def test_every_type_is_converted_exactly(settings: Settings, writer_settings: Settings, staged: Staged) -> None:
    columns = [f"c{number}" for number in range(len(CONVERTED))]
    with writer(writer_settings) as connection:
        connection.execute(
            "create type mood as enum ('sad', 'content'); create domain positive as integer check (value > 0)"
        )
        types = ", ".join(f"{name} {kind}" for name, (kind, _, _) in zip(columns, CONVERTED, strict=True))
        connection.execute(f"create table every (id int primary key, changed_at timestamp default now(), {types})")  # type: ignore[arg-type]
        values = ", ".join(text for _, text, _ in CONVERTED)
        connection.execute(f"insert into every (id, {', '.join(columns)}) values (1, {values})")  # type: ignore[arg-type]
        connection.execute("insert into every (id) values (2)")
    process_once(settings, [stream_of("every")])
    full, empty = sorted(staged(stream_of("every")), key=lambda row: row["id"])
    found = [(kind, full[name]) for name, (kind, _, _) in zip(columns, CONVERTED, strict=True)]
    assert found == [(kind, value) for kind, _, value in CONVERTED]
    assert {empty[name] for name in columns} == {None}


AS_DECIMAL = {"value": "decimal(38,9)"}
REJECTED = [
    ("numeric", "'NaN'", "value is no finite number that fits decimal128(38, 9)"),
    ("numeric", "'Infinity'", "value is no finite number that fits decimal128(38, 9)"),
    ("numeric", "'0.0000000001'", "value is no finite number that fits decimal128(38, 9)"),
    ("numeric", "'1e30'", "value is no finite number that fits decimal128(38, 9)"),
    ("numeric(10,2)", "'NaN'", "value is no finite number that fits decimal128(10, 2)"),
    ("timestamp", "'infinity'", "value is infinite or not within the years 1 to 9999"),
    ("timestamp", "'-infinity'", "value is infinite or not within the years 1 to 9999"),
    ("timestamp", "'294276-12-31 23:59:59'", "value is infinite or not within the years 1 to 9999"),
    ("timestamp", "'10000-01-01'", "value is infinite or not within the years 1 to 9999"),
    ("timestamp", "'0001-12-31 BC'", "value is infinite or not within the years 1 to 9999"),
    ("timestamp", "'4713-01-01 BC'", "value is infinite or not within the years 1 to 9999"),
    ("timestamptz", "'infinity'", "value is infinite or not within the years 1 to 9999"),
    ("date", "'infinity'", "value is infinite or not within the years 1 to 9999"),
    ("date", "'-infinity'", "value is infinite or not within the years 1 to 9999"),
    ("date", "'5874897-12-31'", "value is infinite or not within the years 1 to 9999"),
    ("date", "'4713-01-01 BC'", "value is infinite or not within the years 1 to 9999"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "reason"), REJECTED)
def test_a_row_that_cannot_be_converted_is_rejected_whole_and_others_are_staged(
    settings: Settings, writer_settings: Settings, staged: Staged, rejected: Staged, kind: str, text: str, reason: str
) -> None:
    odd = stream_of("odd", types=AS_DECIMAL if kind == "numeric" else {})
    with writer(writer_settings) as connection:
        connection.execute(f"create table odd (id int primary key, changed_at timestamp default now(), value {kind})")  # type: ignore[arg-type]
        connection.execute(f"insert into odd (id, value) values (1, {text}), (2, null)")  # type: ignore[arg-type]
        printed = connection.execute("select row_to_json(odd)::text from odd where id = 1").fetchone()
    (report,) = process_once(settings, [odd]).streams
    assert [row["id"] for row in staged(odd)] == [2]
    assert [(row["key"], row["reason"]) for row in rejected(odd)] == [("1", reason)]
    assert printed == (rejected(odd)[0]["row"],)
    assert (report.rows_staged, report.rows_rejected) == (1, 1)
    assert [each.window for each in process_once(settings, [odd]).streams] == [None]


def test_a_composite_key_names_a_rejected_row(settings: Settings, writer_settings: Settings, rejected: Staged) -> None:
    with writer(writer_settings) as connection:
        connection.execute(
            "create table odd (a int, b text, changed_at timestamp default now(), value numeric, primary key (a, b));"
            "insert into odd values (1, 'it''s', default, 'NaN'), (1, 'fine', default, 1)"
        )
    process_once(settings, [stream_of("odd", key=("a", "b"), types=AS_DECIMAL)])
    (found,) = rejected(stream_of("odd"))
    assert (found["key"], orjson.loads(found["row"])["value"]) == ("1,it's", "NaN")


def test_declared_types_replace_the_default_of_numerics(
    settings: Settings, writer_settings: Settings, staged: Staged
) -> None:
    with writer(writer_settings) as connection:
        connection.execute("create table fine (id int, changed_at timestamp default now(), a numeric, b numeric)")
        connection.execute("insert into fine values (1, default, 0.000000000012345, 'NaN')")
    stream = stream_of("fine", types={"a": "decimal(38,18)", "b": "text"})
    process_once(settings, [stream])
    assert [(row["a"], row["b"]) for row in staged(stream)] == [(Decimal("0.000000000012345"), "NaN")]


def test_a_new_column_is_staged_and_a_dropped_one_is_not(
    settings: Settings, writer_settings: Settings, things: Stream, staged: Staged
) -> None:
    with writer(writer_settings) as connection:
        connection.execute("insert into things (id, note) values (1, 'old')")
        process_once(settings, [things])
        connection.execute("alter table things add column extra int default 5; alter table things drop column note")
        connection.execute("insert into things (id) values (2)")
    process_once(settings, [replace(things)])
    assert [(set(row) - {"id", "changed_at"}, row["id"]) for row in staged(things)] == [({"note"}, 1), ({"extra"}, 2)]


NUMERICS = st.decimals(min_value=-(10**28), max_value=10**28, places=9, allow_nan=False, allow_infinity=False)
TIMES = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31, 23, 59, 59, 999999))
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))


@hypothesis_settings(max_examples=15)
@given(
    rows=st.lists(
        st.tuples(NUMERICS, TIMES, TEXTS, st.binary(), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=200
    )
)
def test_any_values_round_trip(
    settings: Settings, writer_settings: Settings, staged: Staged, rows: list[tuple[Any, ...]]
) -> None:
    with writer(writer_settings) as connection:
        connection.execute("drop table if exists any_values")
        connection.execute(
            "create table any_values (id int primary key, changed_at timestamp default now(), n numeric, t timestamp,"
            " u timestamptz, s text, b bytea, i bigint)"
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into any_values (id, n, t, u, s, b, i) values (%s, %s, %s, %s, %s, %s, %s)",
                [(number, n, t, t.replace(tzinfo=UTC), s, b, i) for number, (n, t, s, b, i) in enumerate(rows)],
            )
    settings = settings.model_copy(update={"data_dir": settings.data_dir / str(abs(hash(str(rows))))})
    with psycopg.connect(settings.state_conninfo) as connection:
        connection.execute("drop table if exists adventure_watermarks")
    stream = stream_of("any_values", types={"n": "decimal(38,9)"})
    process_once(settings, [stream])
    import pyarrow.parquet as pq

    from adventure.destinations.duckdb.stage import FolderStage

    stage = FolderStage(settings.stage_dir)
    (window,) = stage.windows(stream.stage)
    found = pq.read_table(stage.path(window, window.files[0].name)).to_pylist()
    got = {row["id"]: (row["n"], row["t"], row["u"], row["s"], row["b"], row["i"]) for row in found}
    assert got == {number: (n, t, t, s, b, i) for number, (n, t, s, b, i) in enumerate(rows)}
