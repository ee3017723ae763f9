"""Read a stream's table from PostgreSQL's catalogue, and build the SQL conditions for its rows.

Only this module quotes names. Values in SQL are literals that we write ourselves, since COPY takes no parameters.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql

from adventure.core.errors import SourceShapeError
from adventure.core.manifest import RESERVED_COLUMNS
from adventure.core.sql_text import quoted
from adventure.core.streams import Stream
from adventure.sources.postgres.columns import SourceColumn, plan_column
from adventure.sources.postgres.resolution import Resolution, of_default, step_of
from adventure.sources.postgres.shape import (
    CURSOR_TYPES,
    added_columns,
    no_cursor_remedy,
    read_shape,
    snapshot_relation,
)

# A domain is read as its base type. A type outside of pg_catalog is another type, even with a familiar name.
_COLUMNS = """
with recursive typed as (
    select
        a.attnum, a.attname, a.attnotnull, a.atttypid as type, a.atttypmod as typmod,
        pg_get_expr(d.adbin, d.adrelid) as default_expression
    from pg_attribute as a
    left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped
    union all
    select
        typed.attnum, typed.attname, typed.attnotnull, t.typbasetype, t.typtypmod,
        coalesce(typed.default_expression, t.typdefault)
    from typed
    join pg_type as t on t.oid = typed.type
    where t.typtype = 'd'
)
select
    typed.attname,
    case when n.nspname = 'pg_catalog' then t.typname else '' end,
    typed.typmod,
    typed.attnotnull,
    typed.default_expression
from typed
join pg_type as t on t.oid = typed.type
join pg_namespace as n on n.oid = t.typnamespace
where t.typtype <> 'd'
order by typed.attnum
"""

_IS_INDEXED = """
select exists (
    select from pg_index as i
    join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = to_regclass(%s) and a.attname = %s and i.indisvalid and i.indpred is null
)
"""

_COMPARABLE = (
    {"int2", "int4", "int8", "numeric", "float4", "float8"},
    {"text", "varchar", "bpchar", "name"},
    {"timestamp", "timestamptz", "date"},
)


@dataclass(frozen=True)
class Plan:
    """How to read a stream."""

    stream: Stream
    table: str
    """The quoted name, with its schema."""
    source: str
    """The table, or a subquery over it; see `Shape`."""
    relation: str
    """The same; without a cursor of its own, with the columns that are added to it."""
    left_out: tuple[str, ...]
    """Columns that the role may not read."""
    indexed: bool
    """Whether an index begins with the cursor column."""
    columns: tuple[SourceColumn, ...]
    type_names: dict[str, str]
    """PostgreSQL's type names, by column."""
    key_positions: tuple[int, ...]
    nullable_key: tuple[SourceColumn, ...]
    cursor_position: int
    step: timedelta
    """The smallest distance between two values of the cursor's type, to which the server rounds."""
    by_default: Resolution | None
    """The resolution of the cursor's default; None if it is not coarse, or if there is no default."""
    read_at: datetime | None = None
    """When a snapshot is read; see `at`."""

    @property
    def schema(self) -> pa.Schema:
        """The schema of the staged files."""
        return pa.schema([(column.name, column.type) for column in self.columns])

    @property
    def cursor(self) -> SourceColumn:
        """The column that grows with every change."""
        return self.columns[self.cursor_position]

    @property
    def is_naive(self) -> bool:
        """Whether the cursor carries no time zone."""
        return self.type_names[self.stream.cursor] in ("timestamp", "date")

    @property
    def is_date(self) -> bool:
        """Whether the cursor is a day, which many rows share."""
        return self.type_names[self.stream.cursor] == "date"

    def at(self, read_at: datetime) -> "Plan":
        """Return the plan of a snapshot that is read at this time."""
        relation = snapshot_relation(self.stream, self.source, read_at)
        return replace(self, relation=relation, read_at=read_at)

    def select(self, condition: str, *, hashed: bool = False) -> str:
        """Return the query for all columns of the rows under a condition on `t`.

        Args:
            hashed: append a hash of the whole row, which tells apart two versions with the same cursor.
        """
        expressions = [column.expression for column in self.columns]
        expressions += ["hashtextextended((t.*)::text, 0) as hash"] if hashed else []
        return f"select {', '.join(expressions)} from {self.relation} as t where {condition}"

    def between(self, low: datetime | None, horizon: datetime, alias: str = "t") -> str:
        """Return the condition `low <= cursor < horizon`."""
        name = f"{alias}.{quoted(self.stream.cursor)}"
        below = f"{name} < {self._moment(horizon)}"
        return f"{name} >= {self._moment(low)} and {below}" if low else below

    def value_after(self, rows: int, low: datetime | None, end: datetime) -> str:
        """Return the query for the cursor below which the next window ends: that of the row after so many.

        It has one row if more rows lie in `low <= cursor < end`, else none. Rows with equal cursors stay together: if
        these many have the same one, it is the next higher value, or NULL if there is none.
        """
        name = f"t.{quoted(self.stream.cursor)}"
        rows_of = f"from {self.relation} as t where {self.between(low or datetime.min, end)}"
        return f"""
            with found as (
                select {name} as value {rows_of}
                order by {name} offset {rows} limit 1
            )
            select (case
                when exists (select {rows_of} and {name} < found.value) then found.value
                else (select min({name}) {rows_of} and {name} > found.value)
            end)::timestamp as value
            from found
        """

    def past(self, horizon: datetime, alias: str = "t") -> str:
        """Return the condition `cursor >= horizon`."""
        return f"{alias}.{quoted(self.stream.cursor)} >= {self._moment(horizon)}"

    def with_keys(self, keys: Sequence[tuple[str, ...]], below: datetime) -> str:
        """Return the condition for rows with these keys, given as text, and a cursor before `below`."""
        return f"{self.has_key(keys)} and {self.between(None, below)}"

    def has_key(self, keys: Sequence[tuple[str, ...]]) -> str:
        """Return the condition for rows with these keys, given as text."""
        names = ", ".join(f"t.{quoted(name)}" for name in self.stream.key)
        # The server gives untyped literals the type of their column.
        values = ", ".join(f"({', '.join(sql.Literal(part).as_string(None) for part in key)})" for key in keys)
        return f"({names}) in ({values})"

    @property
    def in_no_window(self) -> str:
        """The condition for rows whose cursor no window can hold."""
        name = f"t.{quoted(self.stream.cursor)}"
        return f"({name} is null or {name} = 'infinity')"

    @property
    def guards(self) -> list[tuple[str, str]]:
        """Conditions on `t` under which a row is rejected, each with the reason in words."""
        found = [(column.reject_if, f"{column.name} {column.reason}") for column in self.columns if column.reject_if]
        found += [
            (f"t.{quoted(column.name)} is null", f"{column.name}, of its key, is NULL") for column in self.nullable_key
        ]
        return [(self.in_no_window, f"its cursor {self.stream.cursor} is NULL or infinite"), *found]

    def _moment(self, moment: datetime) -> str:
        zone, suffix = ("timestamp", "") if self.is_naive else ("timestamptz", "+00")
        return f"{zone} '{moment.isoformat(' ')}{suffix}'"


def plan_stream(connection: psycopg.Connection[tuple[Any, ...]], stream: Stream, *, utf8: bool) -> Plan:
    """Return how to read the stream's table. Call this for each snapshot, because columns may be added or dropped.

    Args:
        utf8: whether the server guarantees that text is UTF-8.

    Raises:
        SourceShapeError: the table or a column does not exist, or the cursor is not a timestamp.
    """
    table = table_of(stream)
    shape = read_shape(connection, stream)
    rows = connection.execute(_COLUMNS, [table], prepare=True)
    found = [_hashed(row, stream) for row in rows if row[0] in shape.columns]
    if not found:
        raise SourceShapeError(
            f"stream {stream.name}: there is no table {stream.location} in database {connection.info.dbname}",
            "Correct namespace and table in pipeline.toml, or grant the role USAGE on the schema",
        )
    types = {name: kind for name, kind, *_ in found}
    found += [(name, kind, -1, True, None) for name, kind in added_columns(stream)]
    types |= dict(added_columns(stream))
    _check_columns(stream, types)
    _check_names(stream, types)
    columns = tuple(
        plan_column(name, kind, typmod, stream.types.get(name), utf8=utf8) for name, kind, typmod, *_ in found
    )
    names = [column.name for column in columns]
    nullable = {name for name, _, _, not_null, _ in found if not not_null}
    typmod, default = next((typmod, default) for name, _, typmod, _, default in found if name == stream.cursor)
    return Plan(
        stream=stream,
        table=table,
        source=shape.source,
        relation=shape.relation,
        left_out=shape.left_out,
        indexed=is_indexed(connection, table, stream.cursor),
        columns=columns,
        type_names=types,
        key_positions=tuple(names.index(key) for key in stream.key),
        nullable_key=tuple(columns[names.index(key)] for key in stream.key if key in nullable),
        cursor_position=names.index(stream.cursor),
        step=step_of(typmod),
        by_default=of_default(default),
    )


def is_indexed(connection: psycopg.Connection[tuple[Any, ...]], table: str, column: str) -> bool:
    """Return whether an index of the table, given by its quoted name, begins with the column."""
    return connection.execute(_IS_INDEXED, [table, column], prepare=True).fetchone() == (True,)


def _hashed(row: tuple[Any, ...], stream: Stream) -> tuple[Any, ...]:
    """Return the column's description as the stream reads it."""
    name, _, _, not_null, _ = row
    return (name, "text", -1, not_null, None) if name in stream.hash else row


def refers(child: Plan, parent: Plan, child_alias: str, parent_alias: str) -> str:
    """Return the condition that a row of the child's table refers to a row of the parent's table."""
    pairs = zip(child.stream.references[parent.stream.name], parent.stream.key, strict=True)
    return " and ".join(f"{child_alias}.{quoted(column)} = {parent_alias}.{quoted(key)}" for column, key in pairs)


def check_reference(child: Plan, parent: Plan) -> None:
    """Raise SourceShapeError unless the child's columns can be compared with the parent's key."""
    for column, key in zip(child.stream.references[parent.stream.name], parent.stream.key, strict=True):
        here, there = child.type_names.get(column), parent.type_names[key]
        if here is None:
            raise _no_column(child.stream, column, f"refers to {parent.stream.name}", child.type_names)
        if here != there and not any({here, there} <= family for family in _COMPARABLE):
            raise SourceShapeError(
                f"stream {child.stream.name}: its {column} is of type {here}, and the {key} of {parent.stream.name},"
                f" to which it refers, of type {there}",
                "Correct references in pipeline.toml",
            )


def table_of(stream: Stream) -> str:
    """Return the quoted name of the stream's table, with its schema."""
    return quoted(stream.namespace, stream.table)


def _check_columns(stream: Stream, types: dict[str, str]) -> None:
    for what, name in (("cursor", stream.cursor), *(("key", key) for key in stream.key)):
        if name not in types:
            raise _no_column(stream, name, f"is its {what}", types)
    if types[stream.cursor] not in CURSOR_TYPES:
        raise SourceShapeError(
            f"stream {stream.name}: its cursor {stream.cursor} is of type {types[stream.cursor] or 'its own'}",
            no_cursor_remedy(types[stream.cursor]),
        )


def _check_names(stream: Stream, names: Iterable[str]) -> None:
    """Raise SourceShapeError if the raw table cannot hold two of the names, before a window with them is staged."""
    taken = {_without_case(name): f"the raw table's own {name}" for name in RESERVED_COLUMNS}
    for name in names:
        other = taken.setdefault(_without_case(name), name)
        if other != name:
            raise SourceShapeError(
                f"stream {stream.name}: column {name} of {stream.location} has the same name as {other}, because a"
                " warehouse does not tell upper case from lower case",
                f"Rename column {name}, or name a view in pipeline.toml that does; the next cycle reads the stream",
            )


def _without_case(name: str) -> str:
    # Snowflake compares in upper case, DuckDB in lower case.
    return name.upper().casefold()


def _no_column(stream: Stream, name: str, what: str, types: Sequence[str] | dict[str, str]) -> SourceShapeError:
    return SourceShapeError(
        f"stream {stream.name}: {stream.location} has no column {name}, which {what}",
        f"Its columns are {', '.join(types)}; correct pipeline.toml, or the table",
    )
