"""What Snowflake's raw table holds of a stream, as one latest version of each key.

Hashed there, over a temporary table, which lasts as long as the session and needs no privilege: of millions of equal
rows a thousand sums come here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa

from adventure.core.streams import Stream
from adventure.destinations.common import lateness as every_warehouses
from adventure.destinations.common.ledger import WITHOUT_CURSOR
from adventure.destinations.common.records import Query
from adventure.destinations.snowflake.key_text import expressions, literal, micros, printed, raw_table, without_zeros

if TYPE_CHECKING:
    import duckdb

Batches = Callable[[str, Sequence[object]], Iterator[list[tuple[object, ...]]]]
"""Runs a statement with values for its question marks; its rows in batches."""

KEYS_AT_ONCE = 10_000
"""Suspects asked for in one statement: they go as one value, a JSON array."""

_TABLE = "adventure_versions"
_HASH = "to_number(left(md5(key || '|' || cursor), 15), 'XXXXXXXXXXXXXXX')"
# As the models order versions: by cursor, then by load, then rows before tombstones.
_LATEST = """qualify row_number() over (
    partition by key order by cursor desc nulls last, _loaded_at desc, live desc
) = 1"""


class TemporaryVersions:
    """See `Versions`: a temporary table of the session."""

    def __init__(self, query: Query, batches: Batches) -> None:
        self._query, self._batches = query, batches

    def lowest(self) -> int | None:
        """See `Versions`."""
        ((found,),) = self._query(f"select min(cursor) from {_TABLE} where live", ())
        return None if found is None else int(found)

    def digests(self, low: int, high: int, width: int) -> list[tuple[int, int, int]]:
        """See `Versions`."""
        # Without a quotient that would be rounded: a division has six decimals.
        found = self._query(
            f"""
            select
                cast((cursor - {low} - mod(cursor - {low}, {width})) / {width} as number(38, 0)) as piece,
                count(*) as number_of_rows,
                sum({_HASH}) as total
            from {_TABLE}
            where live and cursor >= {low} and cursor < {high}
            group by 1
            """,
            (),
        )
        return [(int(number), int(rows), int(total)) for number, rows, total in found]

    def between(self, low: int, high: int) -> Iterator[list[tuple[str, int, str | None]]]:
        """See `Versions`."""
        found = self._batches(
            f"select key, cursor from {_TABLE} where live and cursor >= {low} and cursor < {high}", ()
        )
        for batch in found:
            yield [(str(key), int(str(cursor)), None) for key, cursor in batch]


@contextmanager
def open_versions(query: Query, batches: Batches, stream: Stream, kinds: Sequence[str]) -> Iterator[TemporaryVersions]:
    """The versions as they are now; none, where there is no raw table."""
    query(f"create or replace temporary table {_TABLE} (key varchar, cursor number(38, 0), live boolean)", ())
    if held := columns_of(query, stream):
        key, cursor = expressions(stream, kinds, held)
        query(
            f"""
            insert into {_TABLE}
            with versions as (
                select {key} as key, {cursor} as cursor, _loaded_at, _deleted_at is null as live
                from {raw_table(stream)}
            )
            select key, cursor, live
            from versions
            where key is not null
            {_LATEST}
            """,
            (),
        )
    yield TemporaryVersions(query, batches)


def copy_suspects(query: Query, stream: Stream, kinds: Sequence[str], scratch: Path) -> None:
    """Fills the tables `held` and `rejected` of the DuckDB file `scratch` for the keys in its table `suspects`.

    The tables are those of `adventure.destinations.duckdb.versions`.
    """
    # Here, since nothing else of Snowflake's needs DuckDB: it comes with another extra.
    import duckdb

    held = columns_of(query, stream)
    with duckdb.connect(str(scratch)) as connection:
        connection.execute(
            "create or replace table held (key varchar, cursor bigint, live boolean, parts varchar[], row varchar)"
        )
        connection.execute("create or replace table rejected (key varchar, cursor bigint)")
        with connection.cursor() as reading:
            reading.execute("select distinct key from suspects")
            while held and (keys := reading.fetchmany(KEYS_AT_ONCE)):
                _copy_held(query, connection, stream, kinds, held, [key for (key,) in keys])
        _copy_rejected(query, connection, stream, kinds)


def lateness(
    query: Query, stream: Stream, kinds: Sequence[str], bounds: Sequence[int], *, since: datetime = datetime.min
) -> dict[int, int]:
    """See `adventure.destinations.common.lateness`; none, where there is no raw table."""
    if not (held := columns_of(query, stream)):
        return {}
    return every_warehouses.lateness(
        query, stream, raw_table(stream), expressions(stream, kinds, held), micros, bounds, since=since
    )


def columns_of(query: Query, stream: Stream) -> dict[str, str]:
    """The raw table's columns, in upper case, with their types; empty when there is no such table."""
    schema, _, table = stream.raw_table.upper().partition(".")
    rows = query(
        "select column_name, data_type from information_schema.columns where table_schema = ? and table_name = ?",
        [schema, table],
    )
    return {str(name): str(kind) for name, kind in rows}


def _copy_held(
    query: Query,
    connection: "duckdb.DuckDBPyConnection",
    stream: Stream,
    kinds: Sequence[str],
    held: Mapping[str, str],
    keys: list[str],
) -> None:
    key, cursor = expressions(stream, kinds, held)
    names = [f"part_{number}" for number in range(len(stream.key))]
    parts = [f"{printed(stream, column, held)} as {name}" for column, name in zip(stream.key, names, strict=True)]
    rows = query(
        f"""
        with asked as (
            select value::varchar as key from table(flatten(input => parse_json(?)))
        ),
        versions as (
            select {key} as key, {cursor} as cursor, _loaded_at, _deleted_at is null as live, {", ".join(parts)}
            from {raw_table(stream)}
        )
        select key, cursor, live, {", ".join(names)}
        from versions
        where key in (select key from asked)
        {_LATEST}
        """,
        [orjson.dumps(keys).decode()],
    )
    if rows:
        # ruff: noqa: F841 - DuckDB finds the batch by its name
        batch = pa.table(
            {
                "key": pa.array([row[0] for row in rows], pa.string()),
                "cursor": pa.array([None if row[1] is None else int(row[1]) for row in rows], pa.int64()),
                "live": pa.array([bool(row[2]) for row in rows]),
                "parts": pa.array([list(row[3:]) for row in rows], pa.list_(pa.string())),
            }
        )
        connection.execute("insert into held select *, null from batch")


def _copy_rejected(query: Query, connection: "duckdb.DuckDBPyConnection", stream: Stream, kinds: Sequence[str]) -> None:
    # The row as PostgreSQL prints it tells the version; a document that could not be decoded does not.
    key = without_zeros("key") if tuple(kinds) == ("number",) else "key"
    moment = f'try_cast(get(try_parse_json("ROW"), {literal(stream.cursor)})::varchar as timestamp_tz)'
    rows = query(
        f'select {key}, case when try_parse_json("ROW") is not null then coalesce({micros(moment)}, {WITHOUT_CURSOR})'
        " end from raw_ext.rejected_rows where stream = ?",
        [stream.name],
    )
    if rows:
        connection.executemany(
            "insert into rejected values (?, ?)", [[key, None if at is None else int(at)] for key, at in rows]
        )
