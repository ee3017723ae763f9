"""Reads the latest version of each key of a stream from Snowflake.

Snowflake hashes the versions in a temporary table, which lasts as long as the session and needs no privilege. Of
millions of equal rows only about a thousand sums are fetched.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa

from adventure.core.streams import Stream
from adventure.destinations.common.dialect import loaded_columns_of
from adventure.destinations.snowflake.dialect import SNOWFLAKE
from adventure.destinations.warehouse import Execute

if TYPE_CHECKING:
    import duckdb

Batches = Callable[[str, Sequence[object]], Iterator[list[tuple[object, ...]]]]
"""Runs a statement with values for its question marks and yields its rows in batches."""

KEYS_AT_ONCE = 10_000
"""Suspects in one statement. They are bound as one value, a JSON array."""

_TABLE = "adventure_versions"
_HASH = "to_number(left(md5(key || '|' || cursor), 15), 'XXXXXXXXXXXXXXX')"
# Order versions as the models do: by cursor, then by load, then rows before tombstones.
_LATEST = """qualify row_number() over (
    partition by key order by cursor desc nulls last, _loaded_at desc, live desc
) = 1"""


class TemporaryVersions:
    """See `Versions`: a temporary table of the session."""

    def __init__(self, execute: Execute, batches: Batches) -> None:
        self._execute, self._batches = execute, batches

    def lowest(self) -> int | None:
        """See `Versions`."""
        ((found,),) = self._execute(f"select min(cursor) from {_TABLE} where live", ())
        return None if found is None else int(found)

    def digests(self, low: int, high: int, width: int) -> list[tuple[int, int, int]]:
        """See `Versions`."""
        # Subtract the remainder first: Snowflake rounds a quotient to six decimals.
        found = self._execute(
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
def open_versions(
    execute: Execute, batches: Batches, stream: Stream, kinds: Sequence[str]
) -> Iterator[TemporaryVersions]:
    """Copy the current versions into a temporary table; none where there is no raw table."""
    execute(f"create or replace temporary table {_TABLE} (key varchar, cursor number(38, 0), live boolean)", ())
    if types := loaded_columns_of(execute, stream):
        key, cursor = SNOWFLAKE.key(stream, kinds, types), SNOWFLAKE.cursor(stream)
        execute(
            f"""
            insert into {_TABLE}
            with versions as (
                select {key} as key, {cursor} as cursor, _loaded_at, _deleted_at is null as live
                from {SNOWFLAKE.raw_table(stream)}
            )
            select key, cursor, live
            from versions
            where key is not null
            {_LATEST}
            """,
            (),
        )
    yield TemporaryVersions(execute, batches)


def copy_suspects(execute: Execute, stream: Stream, kinds: Sequence[str], scratch: Path) -> None:
    """Fill the tables `held` and `rejected` of the DuckDB file `scratch` for the keys in its table `suspects`.

    `adventure.destinations.duckdb.versions` describes the tables.
    """
    # Import DuckDB here: it comes with another extra, and nothing else of Snowflake's needs it.
    import duckdb

    types = loaded_columns_of(execute, stream)
    with duckdb.connect(str(scratch)) as connection:
        connection.execute(
            "create or replace table held (key varchar, cursor bigint, live boolean, parts varchar[], row varchar)"
        )
        connection.execute("create or replace table rejected (key varchar, cursor bigint)")
        with connection.cursor() as reading:
            reading.execute("select distinct key from suspects")
            while types and (keys := reading.fetchmany(KEYS_AT_ONCE)):
                _copy_held(execute, connection, stream, kinds, types, [key for (key,) in keys])
        if rejected := execute(SNOWFLAKE.rejected_versions(stream, kinds), [stream.name]):
            connection.executemany(
                "insert into rejected values (?, ?)",
                [[key, None if cursor is None else int(cursor)] for key, cursor in rejected],
            )


def _copy_held(
    execute: Execute,
    connection: "duckdb.DuckDBPyConnection",
    stream: Stream,
    kinds: Sequence[str],
    types: Mapping[str, str],
    keys: list[str],
) -> None:
    key, cursor = SNOWFLAKE.key(stream, kinds, types), SNOWFLAKE.cursor(stream)
    names = [f"part_{number}" for number in range(len(stream.key))]
    parts = [f"{part} as {name}" for part, name in zip(SNOWFLAKE.castable_key(stream, types), names, strict=True)]
    rows = execute(
        f"""
        with asked as (
            select given.value::varchar as key from table(flatten(input => parse_json(?))) as given
        ),
        versions as (
            select {key} as key, {cursor} as cursor, _loaded_at, _deleted_at is null as live, {", ".join(parts)}
            from {SNOWFLAKE.raw_table(stream)}
        )
        select key, cursor, live, {", ".join(names)}
        from versions
        where key in (select key from asked)
        {_LATEST}
        """,
        [orjson.dumps(keys).decode()],
    )
    if rows:
        # ruff: noqa: F841 - DuckDB finds the table by the variable's name
        batch = pa.table(
            {
                "key": pa.array([row[0] for row in rows], pa.string()),
                "cursor": pa.array([None if row[1] is None else int(row[1]) for row in rows], pa.int64()),
                "live": pa.array([bool(row[2]) for row in rows]),
                "parts": pa.array([list(row[3:]) for row in rows], pa.list_(pa.string())),
            }
        )
        connection.execute("insert into held select *, null from batch")
