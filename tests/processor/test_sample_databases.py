"""Move tables of the shapes of five public sample databases whole, each in the mode that fits it.

The rows are made up here; only the shapes follow Pagila, Chinook, Northwind, Netflix and AdventureWorks: tables without
a cursor, with a date, with a serial or composite key, without any key, with arrays, enums, tsvector and JSON.
"""

from dataclasses import replace
from typing import LiteralString

import psycopg
import pytest

from adventure.core.settings import Settings
from adventure.core.streams import READ_AT, ROW_NUMBER, Stream
from adventure.factory import open_warehouse
from adventure.processor.run import process_once
from tests.processor.conftest import stream_of, writer

SHAPES: dict[str, tuple[LiteralString, LiteralString, tuple[str, ...], str | None]] = {
    "pagila_film": (
        "create type rating as enum ('G', 'PG-13'); create domain year as integer check (value between 1901 and 2155);"
        " create table pagila_film (film_id serial primary key, title text not null, release_year year, rating rating,"
        " rental_rate numeric(4,2) default 4.99, special_features text[], fulltext tsvector,"
        " last_update timestamp default (now() at time zone 'utc'))",
        "insert into pagila_film (title, release_year, rating, special_features, fulltext) select 'Film ' || n,"
        " 1990 + n, case when n % 2 = 0 then 'G'::rating end, array['Trailers', 'a \"b\"'], to_tsvector('film ' || n)"
        " from generate_series(1, 30) as n",
        ("film_id",),
        "last_update",
    ),
    "pagila_film_actor": (
        "create table pagila_film_actor (actor_id integer, film_id integer, primary key (actor_id, film_id))",
        "insert into pagila_film_actor select a, f from generate_series(1, 6) as a, generate_series(1, 7) as f",
        ("actor_id", "film_id"),
        None,
    ),
    "Chinook Track": (
        'create table "Chinook Track" ("TrackId" integer primary key, "Name" varchar(200) not null,'
        ' "Milliseconds" integer not null, "UnitPrice" numeric(10,2) not null)',
        "insert into \"Chinook Track\" select n, 'Dúo ' || n, n * 1000, 0.99 from generate_series(1, 40) as n",
        ("TrackId",),
        None,
    ),
    "northwind_orders": (
        "create table northwind_orders (order_id smallint primary key, customer_id bpchar, order_date date,"
        " freight real, ship_name varchar(40))",
        "insert into northwind_orders select n, 'ALFKI', date '1996-07-04' + n, n / 3.0, null"
        " from generate_series(1, 25) as n",
        ("order_id",),
        "order_date",
    ),
    "northwind_demographics": (
        "create table northwind_demographics (customer_type_id bpchar, customer_desc text)",
        "insert into northwind_demographics values ('A', null), ('A', null), ('B', 'x')",
        (ROW_NUMBER,),
        None,
    ),
    "netflix_shows": (
        "create table netflix_shows (show_id text primary key, type text, title text, date_added date,"
        " description text)",
        "insert into netflix_shows select 's' || n, 'Movie', 'Title, ' || n, case when n % 3 > 0 then date '2021-09-25'"
        " - n end, repeat('x', n) from generate_series(1, 50) as n",
        ("show_id",),
        None,
    ),
    "adventureworks_person": (
        "create table adventureworks_person (businessentityid integer primary key, namestyle boolean default false,"
        " lastname varchar(50), additionalcontactinfo json, rowguid uuid default gen_random_uuid(),"
        " modifieddate timestamp not null default (now() at time zone 'utc'))",
        "insert into adventureworks_person (businessentityid, lastname, additionalcontactinfo) select n, 'L' || n,"
        " json '[1.10]' from generate_series(1, 20) as n",
        ("businessentityid",),
        "modifieddate",
    ),
    "adventureworks_document": (
        "create table adventureworks_document (documentnode varchar primary key, document bytea, folderflag boolean,"
        " duration interval, ip inet, extra jsonb)",
        "insert into adventureworks_document select '/' || n || '/', convert_to('doc' || n, 'UTF8'), n % 2 = 0,"
        " n * interval '1 hour', '10.0.0.1', jsonb_build_object('n', n) from generate_series(1, 12) as n",
        ("documentnode",),
        None,
    ),
}


GROWING = {"pagila_film": "film_id"}
"""The column of ids of tables whose ids a sequence hands out."""


def modes() -> list[tuple[str, str]]:
    """Each table as a snapshot by its key and without one, and by its cursor or its ids where it has them."""
    found = []
    for table, (_, _, key, cursor) in SHAPES.items():
        found += (
            [(table, "cursor")] * bool(cursor)
            + [(table, "append")] * (table in GROWING)
            + [(table, "snapshot")] * (key != (ROW_NUMBER,))
            + [(table, "replaced")]
        )
    return found


@pytest.mark.parametrize(("table", "mode"), modes())
def test_the_table_moves_row_for_row(settings: Settings, writer_settings: Settings, table: str, mode: str) -> None:
    create, fill, key, cursor = SHAPES[table]
    stream = stream_of(
        table, name="sample", key=key, cursor=cursor or READ_AT, stage="s", raw_table="raw_ext.sample_raw"
    )
    if mode == "append":
        stream = replace(stream, mode="append", cursor=READ_AT, append_by=GROWING[table])
    elif mode != "cursor":
        stream = replace(stream, mode="snapshot", cursor=READ_AT)
    if mode == "replaced":
        stream = replace(stream, key=(ROW_NUMBER,))
    with writer(writer_settings) as connection:
        connection.execute(create)
        connection.execute(fill)
    process_once(settings, (stream,))
    check(settings, writer_settings, stream)
    if mode == "append":
        with writer(writer_settings) as connection:
            connection.execute(fill)
        process_once(settings, (stream,))
        check(settings, writer_settings, stream)
    elif mode != "cursor":
        with writer(writer_settings) as connection:
            # No cursor changes.
            connection.execute(f'delete from "{table}" where ctid = (select min(ctid) from "{table}")'.encode())
            connection.execute(f'update "{table}" set {ANY_CHANGE[table]}'.encode())
        process_once(settings, (stream,))
        check(settings, writer_settings, stream)


ANY_CHANGE = {
    "pagila_film": "special_features = null",
    "pagila_film_actor": "film_id = film_id + 100",
    "Chinook Track": '"UnitPrice" = 1.99',
    "northwind_orders": "freight = 0.5",
    "northwind_demographics": "customer_desc = 'y'",
    "netflix_shows": "date_added = null",
    "adventureworks_person": "namestyle = true",
    "adventureworks_document": "document = null",
}


def check(settings: Settings, writer_settings: Settings, stream: Stream) -> None:
    """Compare the text of each value of each row with the source."""
    warehouse = open_warehouse(settings)
    warehouse.load(stream)
    with psycopg.connect(writer_settings.postgres_dsn) as connection:
        connection.execute("set timezone = 'UTC'")
        there = connection.execute(f'select * from "{stream.table}"'.encode())
        assert there.description
        names = [column.name for column in there.description]
        texts = ", ".join(f'"{name}"::text' for name in names)
        expected = connection.execute(f'select {texts} from "{stream.table}"'.encode()).fetchall()
    held = warehouse.execute(f"select {', '.join(shown(name) for name in names)} from raw_ext.sample_latest")
    assert len(expected) > 1
    assert sorted(map(plain, held)) == sorted(map(plain, expected))


def shown(name: str) -> str:
    """Return a column as PostgreSQL prints it."""
    return f"'\\x' || lower(hex(\"{name}\"))" if name == "document" else f'"{name}"::varchar'


def plain(row: tuple[object, ...]) -> tuple[str, ...]:
    """Floats print differently: both of 0.33333334 are the same number."""
    return tuple("NULL" if value is None else number(str(value)) for value in row)


def number(text: str) -> str:
    try:
        return f"{float(text):.6g}"
    except ValueError:
        return text
