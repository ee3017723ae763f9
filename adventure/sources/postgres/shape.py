"""Which columns and rows of its table a stream reads, as SQL: one definition for extracts, checks and comparisons.

A stream reads its table by name, or a subquery over it that leaves out columns and rows and hashes columns. The planner
merges the subquery with the query around it, so that indexes are used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import psycopg
from psycopg import sql

from adventure.core.errors import SourceRefused, SourceShapeError
from adventure.core.sql_text import quoted
from adventure.core.streams import APPEND, READ_AT, ROW_NUMBER, SNAPSHOT, Stream

_COLUMNS = """
select a.attname, t.typname, has_column_privilege(a.attrelid, a.attnum, 'select')
from pg_attribute as a join pg_type as t on t.oid = a.atttypid
where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""

CURSOR_TYPES = ("timestamp", "timestamptz", "date")
"""The types of cursors that grow with every change."""

_BLOCK = 64
"""The block size of SHA-256, to which HMAC pads its key."""

# HMAC by the server's own function: pgcrypto may not be installed. The sub-selects are evaluated once a query.
_HMAC = (
    "encode(sha256((select decode(current_setting('adventure.hash_outer'), 'hex'))"
    " || sha256((select decode(current_setting('adventure.hash_inner'), 'hex')) || {bytes})), 'hex')"
)
_BYTES = "convert_to(t.{0}::text, case getdatabaseencoding() when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end)"


@dataclass(frozen=True)
class Shape:
    """What a stream reads of its table."""

    stream: Stream
    columns: tuple[str, ...]
    """The columns that it reads, in the table's order."""
    left_out: tuple[str, ...]
    """Columns that it would read if the role were allowed to."""
    source: str
    """The table's name, or the subquery, for a query that calls it `t`."""

    @property
    def relation(self) -> str:
        """The source; without a cursor of its own, with the columns that are added to it."""
        return snapshot_relation(self.stream, self.source) if self.stream.has_read_at else self.source

    @property
    def is_whole(self) -> bool:
        """Whether it reads the whole table."""
        return self.stream.is_whole and not self.left_out


def read_shape(connection: psycopg.Connection[tuple[Any, ...]], stream: Stream) -> Shape:
    """Read the catalogue.

    Raises:
        SourceRefused: the role may not read a column that the stream needs.
        SourceShapeError: pipeline.toml names a column that the table does not have.
        psycopg.Error: the server failed.
    """
    table = quoted(stream.namespace, stream.table)
    found = connection.execute(_COLUMNS, [table], prepare=True).fetchall()
    types = {name: kind for name, kind, _ in found}
    readable = [name for name, _, is_readable in found if is_readable]
    _check_names(stream, types)
    wanted = [name for name in types if name not in stream.exclude and (not stream.columns or name in stream.columns)]
    columns = tuple(name for name in wanted if name in readable)
    left_out = tuple(name for name in wanted if name not in readable)
    if stream.has_read_at and (taken := {READ_AT, ROW_NUMBER} & set(types)):
        raise SourceShapeError(
            f"stream {stream.name}: {stream.location} has a column {', '.join(sorted(taken))}, which Adventure adds to"
            " tables without a cursor",
            "List it under exclude in a view, and read the view",
        )
    needed = set(left_out) & {stream.cursor, *stream.key, *stream.columns, *stream.hash}
    if needed and columns:
        word = "column" if len(needed) == 1 else "columns"
        names = ", ".join(name for name in left_out if name in needed)
        raise SourceRefused(
            f"stream {stream.name}: the role {connection.info.user} may not read the {word} {names} of"
            f" {stream.location}",
            f"grant select ({', '.join(map(quoted, left_out))}) on {table} to {quoted(connection.info.user)}",
        )
    whole = stream.is_whole and not left_out
    return Shape(stream, columns, left_out, table if whole else _subquery(stream, table, columns, types))


def snapshot_relation(stream: Stream, source: str, read_at: datetime = datetime(1970, 1, 1)) -> str:
    """Return the relation with the columns of a snapshot: when it is read, and a number for rows without a key."""
    added = [f"timestamptz '{read_at.isoformat(' ')}+00' as {quoted(READ_AT)}"]
    added += [f"row_number() over () as {quoted(ROW_NUMBER)}"] if stream.is_replaced else []
    return f"(select t.*, {', '.join(added)} from {source} as t)"


def no_cursor_remedy(type_name: str) -> str:
    """Return what to do about a cursor of another type."""
    if type_name in ("int2", "int4", "int8", "numeric", "uuid"):
        return f'If rows are only added and its values grow, write mode = "{APPEND}"; else write mode = "{SNAPSHOT}"'
    return f'A cursor is a date or time that grows with every change; without one, write mode = "{SNAPSHOT}"'


def added_columns(stream: Stream) -> tuple[tuple[str, str], ...]:
    """Return the columns that `snapshot_relation` adds, with their types."""
    if not stream.has_read_at:
        return ()
    return ((READ_AT, "timestamptz"), *([(ROW_NUMBER, "int8")] if stream.is_replaced else []))


def hash_settings(stream_key: bytes) -> Mapping[str, str]:
    """Return the session settings from which `hash` columns are computed, so that no query holds the key."""
    key = (sha256(stream_key).digest() if len(stream_key) > _BLOCK else stream_key).ljust(_BLOCK, b"\0")
    pads = {"inner": 0x36, "outer": 0x5C}
    return {f"adventure.hash_{name}": f"'{bytes(byte ^ pad for byte in key).hex()}'" for name, pad in pads.items()}


def _subquery(stream: Stream, table: str, columns: Sequence[str], types: Mapping[str, str]) -> str:
    expressions = [
        f"{_HMAC.format(bytes=_BYTES.format(quoted(name)))} as {quoted(name)}"
        if name in stream.hash
        else f"t.{quoted(name)}"
        for name in columns
    ]
    # On lines of its own: a comment at its end must not hide what follows.
    conditions = [f"(\n{stream.where}\n)"] if stream.where else []
    if stream.start:
        kind, zone = ("timestamptz", "+00") if types.get(stream.cursor) == "timestamptz" else ("timestamp", "")
        start = sql.Literal(f"{stream.start.isoformat(' ')}{zone}").as_string(None)
        cursor = f"t.{quoted(stream.cursor)}"
        conditions.append(f"({cursor} >= {kind} {start} or {cursor} is null)")
    where = f" where {' and '.join(conditions)}" if conditions else ""
    return f"(select {', '.join(expressions)} from {table} as t{where})"


def _check_names(stream: Stream, types: Mapping[str, str]) -> None:
    for what in ("columns", "exclude", "hash"):
        missing = [name for name in getattr(stream, what) if types and name not in types]
        if missing:
            raise SourceShapeError(
                f"stream {stream.name}: {stream.location} has no column {', '.join(missing)}, which {what} names in"
                " pipeline.toml",
                f"Its columns are {', '.join(types)}; correct {what}",
            )
