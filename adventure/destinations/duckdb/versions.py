"""Copies the latest version of each key of a stream into another DuckDB file.

The warehouse's file is open only while the versions are copied, so loads continue while the copy is compared.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from adventure.core.row_text import RowColumn
from adventure.core.sql_text import literal
from adventure.core.streams import Stream
from adventure.destinations.common.dialect import loaded_columns_of
from adventure.destinations.common.duckdb_dialect import DUCKDB
from adventure.destinations.duckdb.connection import executing
from adventure.destinations.duckdb.row_text import row_hash

MEMORY = "300MB"
"""The memory limit of a copy. The rest is spilled to disk beside the copy."""

BATCH = 20_000
"""Rows in one batch."""

_TABLES = """
create or replace table scratch.held (key varchar, cursor bigint, live boolean, parts varchar[], row varchar);
create or replace table scratch.rejected (key varchar, cursor bigint);
"""


class CopiedVersions:
    """See `Versions`: a copy in a DuckDB file."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def lowest(self) -> int | None:
        """See `Versions`."""
        found = self._connection.execute("select min(cursor) from held where live").fetchone()
        return found[0] if found else None

    def digests(self, low: int, high: int, width: int) -> list[tuple[int, int, int]]:
        """See `Versions`."""
        found = self._connection.execute(
            """
            select
                (cursor - $low) // $width,
                count(*),
                sum(('0x' || left(md5(key || '|' || cursor || coalesce('|' || row, '')), 15))::bigint)
            from held
            where live and cursor >= $low and cursor < $high
            group by 1
            """,
            {"low": low, "high": high, "width": width},
        ).fetchall()
        return [(number, rows, int(total)) for number, rows, total in found]

    def between(self, low: int, high: int) -> Iterator[list[tuple[str, int, str | None]]]:
        """See `Versions`."""
        reading = self._connection.execute(
            "select key, cursor, row from held where live and cursor >= ? and cursor < ?", [low, high]
        )
        while batch := reading.fetchmany(BATCH):
            yield batch


@contextmanager
def open_copy(file: Path) -> Iterator[CopiedVersions]:
    """Open the file that `copy_versions` filled."""
    with duckdb.connect(str(file)) as connection:
        connection.execute(f"set memory_limit = '{MEMORY}'")
        connection.execute("set enable_progress_bar = false")
        yield CopiedVersions(connection)


def copy_versions(
    connection: duckdb.DuckDBPyConnection,
    stream: Stream,
    kinds: Sequence[str],
    rows: Sequence[RowColumn],
    scratch: Path,
    *,
    suspects: bool,
) -> None:
    """Fill the tables `held` and `rejected` of the DuckDB file `scratch`.

    `held` has one row for each key, its latest version:

    - `cursor` in microseconds since 1970, NULL where the row has none
    - `live`, false for a tombstone
    - `parts`, for suspects: each key column as text
    - `row`, where `rows` names columns: the hash of the row

    `rejected` has the keys of the rejected rows, their parts joined by commas, and their cursors where they are known.

    Args:
        kinds: how each key column becomes text, see `adventure.core.key_kinds`.
        suspects: copy only the keys in table `suspects` of that file.
    """
    connection.execute(f"set memory_limit = '{MEMORY}'")
    connection.execute("set preserve_insertion_order = false")
    connection.execute(f"set temp_directory = {literal(f'{scratch}.spill')}")
    connection.execute(f"attach {literal(str(scratch))} as scratch")
    try:
        connection.execute(_TABLES)
        if types := loaded_columns_of(executing(connection), stream):
            row = row_hash(rows, {name.lower() for name in types}) if rows else ""
            _copy_held(connection, stream, DUCKDB.key(stream, kinds, types), row, suspects)
        connection.execute(f"insert into scratch.rejected {DUCKDB.rejected_versions(stream, kinds)}", [stream.name])
    finally:
        connection.execute("detach scratch")


def _copy_held(connection: duckdb.DuckDBPyConnection, stream: Stream, key: str, row: str, suspects: bool) -> None:
    parts = ", ".join(DUCKDB.castable_key(stream, {}))
    # Order versions as the models do: by cursor, then by load, then rows before tombstones. Pack the three into one
    # number, because a hash table of numbers is small. Shift the cursor so that it is not negative.
    version = (
        f"coalesce({DUCKDB.cursor(stream)} + (1::hugeint << 61), 0) * (1::hugeint << 64)"
        " + epoch_us(_loaded_at)::hugeint * 2 + (_deleted_at is null)::int"
    )
    # At the source, the rows of a table without a cursor have none: `PostgresSide` takes 1970 for all of them.
    cursor = "0" if stream.has_read_at else "nullif(version >> 64, 0) - (1::hugeint << 61)"
    connection.execute(
        f"""
        insert into scratch.held
        with versions as (
            select
                {key} as key,
                max({version}) as version,
                {f"arg_max({row}, {version})" if row else "null"} as row,
                {f"any_value([{parts}])" if suspects else "null"} as parts
            from {DUCKDB.raw_table(stream)}
            where {key} {"in (from scratch.suspects select key)" if suspects else "is not null"}
            group by 1
        )
        select key, {cursor}, (version & 1) = 1, parts, row
        from versions
        """
    )
