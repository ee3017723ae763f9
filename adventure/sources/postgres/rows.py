"""Count and find the rows of a PostgreSQL source, in the same way for `check`, `status` and `reconcile`.

Every row of the stream's relation counts. A row with a cursor that is NULL, infinite or outside of the years 1 to 9999
is in no window (`unusable`). A row with NULL in its key cannot be looked up (`has_no_key`); its window rejects it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

import psycopg
from psycopg import sql

from adventure.core.errors import SourceShapeError
from adventure.core.streams import Stream
from adventure.sources.postgres.access import require_access
from adventure.sources.postgres.shape import CURSOR_TYPES, added_columns, no_cursor_remedy, read_shape

Connection = psycopg.Connection[tuple[Any, ...]]

FIRST, LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)
"""The lowest and the highest cursor that a window can hold."""

_COLUMNS = """
select a.attname, coalesce(base.typname, t.typname), format_type(a.atttypid, -1), a.attnotnull
from pg_attribute as a
join pg_type as t on t.oid = a.atttypid
left join pg_type as base on base.oid = nullif(t.typbasetype, 0)
where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped
"""


@dataclass(frozen=True)
class KeyColumn:
    """A column of the key."""

    column: sql.Composable
    """The column of table `t`."""
    base: str
    """The name of its type; for a domain, of its base type."""
    cast: sql.Composable
    """The name of the type in a cast."""
    nullable: bool


@dataclass(frozen=True)
class SourceRows:
    """The rows of one stream, as conditions on its relation, which a query names `t`."""

    stream: Stream
    table: sql.Composable
    """The table's name."""
    relation: sql.Composable
    """The table, or a subquery over it; see `Shape`."""
    cursor: sql.Composable
    """The bare column, so that an index can be used."""
    is_zoned: bool
    """Whether the cursor carries a time zone."""
    key: tuple[KeyColumn, ...]

    @classmethod
    def read(cls, connection: Connection, stream: Stream, role: str) -> "SourceRows":
        """Read the catalogue.

        Raises:
            SourceRefused: rows or columns are hidden from the role.
            SourceShapeError: the relation or a column is missing, or the cursor is no timestamp.
            psycopg.Error: the server failed.
        """
        require_access(connection, stream, role)
        table = sql.Identifier(stream.namespace, stream.table)
        shape = read_shape(connection, stream)
        found = connection.execute(_COLUMNS, [table.as_string(connection)]).fetchall()
        types = {
            name: ("text", "text", not_null) if name in stream.hash else (base, full, not_null)
            for name, base, full, not_null in found
            if name in shape.columns
        } | {name: (kind, kind, True) for name, kind in added_columns(stream)}
        for name in (stream.cursor, *stream.key):
            if name not in types:
                raise SourceShapeError(
                    f"stream {stream.name}: {stream.location} has no column {name}",
                    "Correct cursor and key in pipeline.toml",
                )
        base, full, _ = types[stream.cursor]
        if base not in CURSOR_TYPES:
            raise SourceShapeError(
                f"stream {stream.name}: its cursor {stream.cursor} is of type {full}",
                no_cursor_remedy(base),
            )
        key = tuple(
            KeyColumn(sql.Identifier("t", name), types[name][0], sql.SQL(types[name][1]), not types[name][2])
            for name in stream.key
        )
        relation = sql.SQL(shape.relation)
        return cls(stream, table, relation, sql.Identifier("t", stream.cursor), base == "timestamptz", key)

    @property
    def unusable(self) -> sql.Composable:
        """The condition for rows that no window can hold."""
        return sql.SQL("{cursor} is null or {cursor} < {first} or {cursor} > {last}").format(
            cursor=self.cursor, first=self.literal(FIRST), last=self.literal(LAST)
        )

    @property
    def has_no_key(self) -> sql.Composable:
        """The condition for rows that cannot be looked up; `false` if no key column can be NULL."""
        nullable = [sql.SQL("{} is null").format(each.column) for each in self.key if each.nullable]
        return sql.SQL(" or ").join(nullable) if nullable else sql.SQL("false")

    def between(self, low: datetime, high: datetime | None = None) -> sql.Composable:
        """Return the condition for rows with a usable cursor in `[low, high)`, or from `low` on."""
        end = (
            sql.SQL("<= {}").format(self.literal(LAST)) if high is None else sql.SQL("< {}").format(self.literal(high))
        )
        return sql.SQL("{0} >= {1} and {0} {2}").format(self.cursor, self.literal(low), end)

    def count(self, connection: Connection, condition: sql.Composable | None = None) -> int:
        """Return the number of rows under the condition, or of all rows."""
        query = sql.SQL("select count(*) from {} as t where {}").format(self.relation, condition or sql.SQL("true"))
        found = connection.execute(query).fetchone()
        return int(found[0]) if found else 0

    def counts(self, connection: Connection, condition: sql.Composable) -> tuple[int, int]:
        """Return the number of all rows, and of those under the condition, at one moment."""
        query = sql.SQL("select count(*), count(*) filter (where {}) from {} as t").format(condition, self.relation)
        found = connection.execute(query).fetchone()
        return (int(found[0]), int(found[1])) if found else (0, 0)

    def lowest(self, connection: Connection, low: datetime = FIRST) -> datetime | None:
        """Return the lowest usable cursor at or above `low`, through the cursor's index where there is one."""
        query = sql.SQL("select min({}) from {} as t where {}").format(self.cursor, self.relation, self.between(low))
        found: Sequence[Any] | None = connection.execute(query).fetchone()
        value: datetime | date | None = found[0] if found else None
        if value is None or isinstance(value, datetime):
            return value and value.replace(tzinfo=None)
        return datetime.combine(value, time.min)

    def literal(self, value: datetime) -> sql.Composable:
        """Return a cursor value as a literal. With parameters, a percent sign in a name would be read as one."""
        kind, suffix = ("timestamptz", "+00") if self.is_zoned else ("timestamp", "")
        return sql.SQL(f"{kind} {{}}").format(sql.Literal(f"{value.isoformat(' ')}{suffix}"))
