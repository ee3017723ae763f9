"""Compare values of every PostgreSQL type one by one, from the source through the stage to the raw table.

Values with an Arrow type must be equal; all others must be the text that PostgreSQL prints. No value may be lost: each
row is in the raw table or rejected.
"""

import math
import struct
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import sql

from adventure.core.settings import Settings
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.processor.run import process_once
from adventure.reconcile.run import reconcile
from tests.processor.conftest import stream_of, writer

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
INTEGER = st.integers(-(2**31), 2**31 - 1)
DAYS = st.dates(date(1, 1, 1), date(9999, 12, 31))
MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999))
COORDINATE = st.floats(allow_nan=False, allow_infinity=False, width=32)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def ordered(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, Any]]:
    return st.tuples(values, values).map(lambda pair: (min(pair), max(pair)))


def json_text(value: Any) -> str:
    import orjson

    try:
        return orjson.dumps(value).decode()
    except TypeError:
        import json

        return json.dumps(value)


def array_text(values: list[Any], show: Any = str) -> str:
    def element(value: Any) -> str:
        if isinstance(value, list):
            return array_text(value, show)
        if value is None:
            return "NULL"
        return '"' + str(show(value)).replace("\\", "\\\\").replace('"', '\\"') + '"'

    return "{" + ",".join(map(element, values)) + "}"


def bytes_text(value: bytes) -> str:
    return "\\x" + value.hex()


def matrix(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[list[Any]]]:
    return st.integers(1, 3).flatmap(
        lambda width: st.lists(st.lists(values, min_size=width, max_size=width), max_size=3)
    )


IP4 = st.ip_addresses(v=4).map(str)
MAC = st.binary(min_size=6, max_size=6).map(lambda value: value.hex(":"))

# PostgreSQL types, each with texts of its values.
TYPES: dict[str, st.SearchStrategy[str]] = {
    "smallint": st.integers(-(2**15), 2**15 - 1).map(str),
    "integer": INTEGER.map(str),
    "bigint": st.integers(-(2**63), 2**63 - 1).map(str),
    "real": st.floats(width=32).map(repr) | st.sampled_from(["-0", "nan", "infinity", "-infinity"]),
    "double precision": st.floats().map(repr) | st.sampled_from(["-0", "nan", "infinity", "-infinity"]),
    "numeric": st.decimals(allow_nan=False).map(str) | st.sampled_from(["NaN", "-Infinity", "1e-300", "1e300"]),
    "numeric(12,3)": st.decimals(-(10**8), 10**8, places=3, allow_nan=False).map(str),
    "numeric(60,20)": st.decimals(-(10**38), 10**38, places=20, allow_nan=False).map(str),
    "numeric(4,-3)": st.integers(-9_999_000, 9_999_000).map(str),
    "money": st.decimals(-(10**15), 10**15, places=2, allow_nan=False).map(str),
    "boolean": st.booleans().map(str),
    "text": TEXT,
    "varchar(40)": TEXT,
    "char(50)": TEXT,
    "name": st.text("abcé🚲 \"'", max_size=12),
    '"char"': st.sampled_from("aZ~ "),
    "bytea": st.binary(max_size=60).map(lambda value: "\\x" + value.hex()),
    "bit(5)": st.integers(0, 31).map(lambda value: f"{value:05b}"),
    "varbit": st.text("01", max_size=70),
    "date": DAYS.map(str),
    "timestamp": MOMENTS.map(str),
    "timestamp(3)": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(str),
    "timestamptz": MOMENTS.map(lambda value: str(value.replace(tzinfo=UTC))),
    "time": st.times().map(str),
    "timetz": st.tuples(st.times(), st.integers(-15, 15)).map(lambda pair: f"{pair[0]}{pair[1]:+03d}"),
    "interval": st.tuples(st.integers(-9999, 9999), INTEGER, st.integers(-(10**15), 10**15)).map(
        lambda parts: f"{parts[0]} months {parts[1]} days {parts[2]} microseconds"
    ),
    "uuid": st.uuids().map(str),
    "json": JSON.map(json_text),
    "jsonb": JSON.map(json_text).filter(lambda text: "\\u0000" not in text),
    "integer[]": matrix(st.none() | INTEGER).map(array_text),
    "text[]": matrix(st.none() | TEXT).map(array_text),
    "timestamptz[]": st.lists(MOMENTS.map(lambda value: str(value.replace(tzinfo=UTC))), max_size=3).map(array_text),
    "numeric[]": st.lists(st.none() | st.decimals(-99, 99, places=4, allow_nan=False), max_size=3).map(array_text),
    "double precision[]": st.lists(st.floats(), max_size=3).map(lambda values: array_text(values, repr)),
    "bytea[]": st.lists(st.binary(max_size=9), max_size=3).map(lambda each: array_text(each, bytes_text)),
    "int4range": ordered(st.integers(-(2**31), 2**31 - 2)).map(lambda pair: f"[{pair[0]},{pair[1]}]"),
    "int8range": ordered(INTEGER).map(lambda pair: f"({pair[0]},{pair[1]})"),
    "numrange": ordered(INTEGER).map(lambda pair: f"[{pair[0]},{pair[1]}.5)"),
    "daterange": ordered(DAYS).map(lambda pair: f"[{pair[0]},{pair[1]})"),
    "tsrange": ordered(MOMENTS).map(lambda pair: f'["{pair[0]}","{pair[1]}")'),
    "tstzrange": ordered(MOMENTS).map(lambda pair: f'["{pair[0]}+00","{pair[1]}+00")'),
    "int4multirange": st.lists(st.integers(0, 999), max_size=3).map(
        lambda lows: "{" + ",".join(f"[{low},{low + 5})" for low in lows) + "}"
    ),
    "mood": st.sampled_from(["sad", "it's, \"ok\"", "🚲"]),
    "positive": st.integers(1, 2**31 - 1).map(str),
    "very_positive": st.integers(10, 2**31 - 1).map(str),
    "pair": st.tuples(INTEGER, TEXT).map(
        lambda pair: f'({pair[0]},"' + pair[1].replace("\\", "\\\\").replace('"', '\\"') + '")'
    ),
    "inet": st.tuples(IP4, st.integers(0, 32)).map(lambda pair: f"{pair[0]}/{pair[1]}") | st.ip_addresses(v=6).map(str),
    "cidr": IP4.map(lambda address: f"{address}/32"),
    "macaddr": MAC,
    "macaddr8": st.binary(min_size=8, max_size=8).map(lambda value: value.hex(":")),
    "point": st.tuples(COORDINATE, COORDINATE).map(str),
    "lseg": st.tuples(COORDINATE, COORDINATE).map(lambda pair: f"[({pair[0]},{pair[1]}),(1,2)]"),
    "box": st.tuples(COORDINATE, COORDINATE).map(lambda pair: f"({pair[0]},{pair[1]}),(1,2)"),
    "path": st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1).map(lambda p: f"[{','.join(map(str, p))}]"),
    "polygon": st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1, max_size=3).map(
        lambda points: f"({','.join(map(str, points))})"
    ),
    "circle": st.tuples(COORDINATE, COORDINATE, st.integers(0, 99)).map(lambda c: f"<({c[0]},{c[1]}),{c[2]}>"),
    "line": st.integers(-9, 9).map(lambda slope: f"{{{slope},1,2}}"),
    "tsvector": st.text("abc é", max_size=20),
    "tsquery": st.sampled_from(["a & b", "!c | d <-> e", "f:*AB"]),
    "oid": st.integers(0, 2**32 - 1).map(str),
    "xid8": st.integers(0, 2**63).map(str),
    "regtype": st.sampled_from(["integer", "text", "mood"]),
    "pg_lsn": st.integers(0, 2**64 - 1).map(lambda value: f"{value >> 32:X}/{value & 0xFFFFFFFF:X}"),
    "tid": st.tuples(st.integers(0, 999), st.integers(1, 99)).map(lambda pair: f"({pair[0]},{pair[1]})"),
    "jsonpath": st.just("$.a[*] ? (@ > 1)"),
}  # fmt: skip

_SETUP = """
create type mood as enum ('sad', 'it''s, "ok"', '🚲');
create domain positive as integer check (value > 0);
create domain very_positive as positive check (value >= 10);
create type pair as (a integer, b text);
create schema elsewhere;
create type elsewhere.int4 as enum ('not', 'a number');
"""


@pytest.fixture
def every(writer_settings: Settings) -> list[str]:
    """Create a table `every` with a column of each type; return their names."""
    columns = [f"c{number}" for number in range(len(TYPES))]
    with writer(writer_settings) as connection:
        connection.execute(_SETUP)  # type: ignore[arg-type]
        types = ", ".join(f"{name} {kind}" for name, kind in zip(columns, TYPES, strict=True))
        connection.execute(
            "create table every (id int generated always as identity primary key, batch int not null,"  # type: ignore[arg-type]
            " changed_at timestamp default (clock_timestamp() at time zone 'utc'), twice bigint generated always as"
            f" (batch::bigint * 2) stored, virtually bigint generated always as (batch::bigint * 3),"
            f" odd elsewhere.int4, {types})"
        )
        connection.execute("create index on every (changed_at)")
    return columns


@hypothesis_settings(
    max_examples=5,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a row of so many columns shrinks for minutes
)
@given(rows=st.lists(st.tuples(*(st.none() | values for values in TYPES.values())), min_size=4, max_size=8))
def test_values_of_every_type_arrive(
    settings: Settings, writer_settings: Settings, every: list[str], rows: list[tuple[str | None, ...]]
) -> None:
    stream = stream_of("every")
    with psycopg.connect(writer_settings.postgres_dsn) as connection:
        # This session prints values differently: staged values must not depend on settings of a role or database.
        (batch,) = connection.execute("select coalesce(max(batch), 0) + 1 from every").fetchone() or (1,)
        for row in rows:
            values = sql.SQL(", ").join(
                sql.SQL("{}::text::{}").format(sql.Literal(value), sql.SQL(kind))  # type: ignore[arg-type]
                for value, kind in zip(row, TYPES, strict=True)
            )
            statement = sql.SQL("insert into every (batch, odd, {}) values ({}, 'not', {})")
            names = sql.SQL(", ").join(map(sql.Identifier, every))
            connection.execute(statement.format(names, sql.Literal(batch), values))
        connection.commit()
        connection.execute("set timezone = 'UTC'; set extra_float_digits = 1")
        shown = ", ".join(
            f"{name} at time zone 'utc'" if kind == "timestamptz" else name if kind in _AS_THEY_ARE else f"{name}::text"
            for name, kind in zip(every, TYPES, strict=True)
        )
        query = f"select id, twice, virtually, odd::text, {shown} from every where batch = {batch} order by id"
        expected = connection.execute(query).fetchall()  # type: ignore[arg-type]
    process_once(settings, [stream])
    warehouse = DuckDBWarehouse(settings)
    warehouse.load(stream)
    columns = ", ".join(["id", "twice", "virtually", "odd", *every])
    found = warehouse.execute(f"select {columns} from raw_ext.things_raw where batch = {batch} order by id")
    assert len(found) == len(rows)
    for kind, column in zip(["id", "twice", "virtually", "odd", *TYPES], range(len(every) + 4), strict=True):
        assert [_bits(row[column], kind) for row in found] == [_bits(row[column], kind) for row in expected], kind
    assert warehouse.totals([stream])["things"].rejected == 0
    (report,) = reconcile(settings, [stream], rows=True)
    assert report.result is not None
    assert report.result.verdicts == {}, "both servers compute the same text of every type"


_AS_THEY_ARE = {
    *(
        "smallint",
        "integer",
        "bigint",
        "real",
        "double precision",
        "boolean",
        "text",
        "varchar(40)",
        "char(50)",
        "name",
    ),
    *("bytea", "date", "timestamp", "timestamp(3)", "numeric(12,3)", "numeric(4,-3)"),
    *("positive", "very_positive"),
}


def _bits(value: Any, kind: str) -> Any:
    """Return a value for comparison, so that NaN equals itself and minus zero differs from zero."""
    if isinstance(value, float):
        return struct.pack("f" if kind == "real" else "d", value) if not math.isnan(value) else "nan"
    return value.normalize() if isinstance(value, Decimal) else value


NUMBERS = st.sampled_from(["NaN", "Infinity", "-Infinity", "1e40", "-1e29", "0.1234567891"]) | st.decimals(
    -(10**28), 10**28, places=9, allow_nan=False
).map(str)
TIMES = st.sampled_from(
    ["infinity", "-infinity", "4713-01-01 BC", "0001-12-31 BC", "10000-01-01", "294276-12-31 23:59:59.999999"]
) | MOMENTS.map(str)


@hypothesis_settings(max_examples=10)
@given(rows=st.lists(st.tuples(st.none() | NUMBERS, st.none() | TIMES, st.none() | TIMES), min_size=1, max_size=40))
def test_each_row_is_in_the_raw_table_or_rejected(
    settings: Settings, writer_settings: Settings, rows: list[tuple[str | None, ...]]
) -> None:
    stream = stream_of("hard", key=("n",), references={}, types={"n": "decimal(38,9)"})
    with writer(writer_settings) as connection:
        connection.execute(
            "create table if not exists hard (n numeric, t timestamp, u timestamptz, batch int,"
            " changed_at timestamp default (clock_timestamp() at time zone 'utc'))"
        )
        connection.execute("create index if not exists hard_changed_at on hard (changed_at)")
        (batch,) = connection.execute("select coalesce(max(batch), 0) + 1 from hard").fetchone() or (1,)
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into hard values (%s, %s, %s::timestamp at time zone 'utc', %s)",
                [(*row, batch) for row in rows],
            )
    process_once(settings, [stream])
    warehouse = DuckDBWarehouse(settings)
    warehouse.load(stream)
    found = warehouse.execute(f"select n, t, u from raw_ext.things_raw where batch = {batch}")
    aside = warehouse.execute(
        "select key, reason from raw_ext.rejected_rows where row::json ->> 'batch' = ?", [str(batch)]
    )
    fine = [row for row in rows if _number(row[0]) is not None and all(_moment(text) != "out" for text in row[1:])]
    assert len(found) + len(aside) == len(rows), "a key that is NULL, NaN or there twice loses no row"
    assert sorted(map(str, found)) == sorted(str((_number(n), _moment(t), _moment(u))) for n, t, u in fine)


def _number(text: str | None) -> Decimal | None:
    """Return the value as it is staged; None if it is rejected."""
    number = Decimal(text or "NaN")
    scaled = number.scaleb(9) if number.is_finite() else Decimal("NaN")
    fits = scaled.is_finite() and scaled == scaled.to_integral_value() and abs(number) < Decimal(10) ** 29
    return number.quantize(Decimal("1e-9"), context=_WIDE) if fits else None


def _moment(text: str | None) -> datetime | str | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return "out"


_WIDE = Context(prec=60)
