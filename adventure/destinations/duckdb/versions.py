"""What the warehouse holds of a stream, as one latest version of each key, copied into a file of the caller's own.

The warehouse's file is held for as long as that takes and no longer, so that loads go on while the copy is compared.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from adventure.core.row_text import RowColumn
from adventure.core.streams import Stream
from adventure.destinations.common.ledger import WITHOUT_CURSOR
from adventure.destinations.duckdb.key_text import expressions, literal, part, path, raw_table
from adventure.destinations.duckdb.load import columns_of
from adventure.destinations.duckdb.row_text import row_hash

MEMORY = "1GB"
"""What a copy may take of the machine; the rest goes to disk, beside the copy."""

BATCH = 20_000
"""Rows handed over at once."""

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
    """The copy that `copy_versions` made."""
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
    """Fills the tables `held` and `rejected` of the DuckDB file `scratch`.

    `held` has the latest version of each key: its cursor in microseconds since 1970 (NULL where it has none), whether
    the row lives or is a tombstone; of suspects, each key column as the raw table prints it; and the hash of the row,
    where `rows` names its columns. `rejected` has the
    keys of the rows set aside, their parts joined by commas, and their cursor where it is known.

    Args:
        kinds: how each key column becomes text, see `adventure.core.key_kinds`.
        suspects: only the keys that table `suspects` of that file holds.
    """
    connection.execute(f"set memory_limit = '{MEMORY}'")
    connection.execute("set preserve_insertion_order = false")
    connection.execute(f"set temp_directory = {literal(f'{scratch}.spill')}")
    connection.execute(f"attach {literal(str(scratch))} as scratch")
    try:
        connection.execute(_TABLES)
        if held := columns_of(connection, stream):
            key, cursor = expressions(stream, kinds)
            row = row_hash(rows, {name.lower() for name in held}) if rows else ""
            _copy_held(connection, stream, key, cursor, row, suspects)
        _copy_rejected(connection, stream, kinds)
    finally:
        connection.execute("detach scratch")


def _copy_held(
    connection: duckdb.DuckDBPyConnection, stream: Stream, key: str, cursor: str, row: str, suspects: bool
) -> None:
    kind = "document" if stream.documents else "plain"
    parts = ", ".join(part(column, kind) for column in stream.key)
    # As the models order versions: by cursor, then by load, then rows before tombstones. One number each, because a
    # hash table of numbers is small; the cursor is moved up so that it is not below zero.
    version = (
        f"coalesce({cursor} + (1::hugeint << 61), 0) * (1::hugeint << 64)"
        " + epoch_us(_loaded_at)::hugeint * 2 + (_deleted_at is null)::int"
    )
    connection.execute(
        f"""
        insert into scratch.held
        with versions as (
            select
                {key} as key,
                max({version}) as version,
                {f"arg_max({row}, {version})" if row else "null"} as row,
                {f"any_value([{parts}])" if suspects else "null"} as parts
            from {raw_table(stream)}
            where {key} {"in (from scratch.suspects select key)" if suspects else "is not null"}
            group by 1
        )
        select key, nullif(version >> 64, 0) - (1::hugeint << 61), (version & 1) = 1, parts, row
        from versions
        """
    )


def _copy_rejected(connection: duckdb.DuckDBPyConnection, stream: Stream, kinds: Sequence[str]) -> None:
    # The row as PostgreSQL prints it tells the version; a document that could not be decoded does not.
    field = literal(path(stream.cursor))
    connection.execute(
        f"""
        insert into scratch.rejected
        select
            {part("key", "number") if tuple(kinds) == ("number",) else "key"},
            case when json_valid(row) then coalesce(
                epoch_us(try_cast(json_extract_string(row, {field}) as timestamptz)), {WITHOUT_CURSOR}
            ) end as cursor
        from raw_ext.rejected_rows
        where stream = ?
        """,
        [stream.name],
    )
