"""The PostgreSQL side of a comparison. The server computes the hashes, and sends a few sums for millions of rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import sql

from adventure.core.connect import translating_postgres
from adventure.core.errors import SourceShapeError
from adventure.core.key_kinds import KeyKind
from adventure.core.row_text import RowColumn
from adventure.core.settings import Settings
from adventure.core.source_name import SourceName
from adventure.core.spans import Digest, Pieces, Span, micros, moment
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.sources.postgres.clock_steps import unread_below
from adventure.sources.postgres.growing import unread
from adventure.sources.postgres.plan import plan_stream
from adventure.sources.postgres.resolution import lag, lookback
from adventure.sources.postgres.row_text import row_columns, row_hash
from adventure.sources.postgres.rows import SourceRows
from adventure.sources.postgres.session import open_session, source_name
from adventure.sources.side import Version

_BATCH = 20_000
_ROWS_A_STATEMENT = 20_000_000
"""Each statement is a transaction that holds back the horizon. One over this many rows takes about twenty seconds."""

_KINDS: dict[str, KeyKind] = {"numeric": "number", "bpchar": "padded", "bytea": "bytes"}


@dataclass
class PostgresSide:
    """See `SourceSide`."""

    connection: "psycopg.Connection[tuple[Any, ...]]"
    conninfo: str
    name: SourceName
    key_kinds: tuple[KeyKind, ...]
    _source: SourceRows
    _keys: tuple[sql.Composable, ...]
    """Each key column of table t, as text."""
    _matches: tuple[sql.Composable, ...]
    """For each key column, the condition that it equals its text in table u."""
    row_columns: tuple[RowColumn, ...] = ()
    _in_flight: sql.Composable = field(default_factory=lambda: sql.SQL("false"))
    """The condition for rows of a growing table that no window has read."""

    @classmethod
    @contextmanager
    def open(
        cls, settings: Settings, stream: Stream, *, rows: bool = False, mark: Watermark | None = None
    ) -> "Iterator[PostgresSide]":
        """Connect.

        Args:
            rows: whether to compare whole rows.
            mark: up to where the stream was read.

        Raises:
            SourceShapeError: a column is missing, or is of a type that has no exact text.
        """
        conninfo, name = settings.postgres_dsn, source_name(settings)
        if stream.is_replaced:
            raise SourceShapeError(
                f"stream {stream.name}: {stream.location} has no key, so that its rows cannot be compared one by one",
                "Run `adventure check`, which compares their number",
            )
        with open_session(settings) as connection, translating_postgres(conninfo, name):
            source = SourceRows.read(connection, stream, settings.postgres_user)
            for column, key in zip(stream.key, source.key, strict=True):
                if key.base in ("float4", "float8"):
                    raise SourceShapeError(
                        f"stream {stream.name}: its key {column} is a floating point number, which has no exact text",
                        "Choose another key in pipeline.toml",
                    )
            yield cls(
                connection,
                conninfo,
                name,
                tuple(_KINDS.get(key.base, "plain") for key in source.key),
                source,
                tuple(_text(key.column, key.base) for key in source.key),
                tuple(
                    sql.SQL("{} = u.k{}::{}").format(key.column, sql.SQL(str(n)), key.cast)
                    for n, key in enumerate(source.key)
                ),
                row_columns(plan_stream(connection, stream, utf8=True)) if rows else (),
                sql.SQL((stream.is_append and unread(connection, stream, mark)) or "false"),
            )

    def lookback(self, mark: Watermark) -> timedelta:
        """Return how far below the watermark rows may not be staged yet; see `SourceSide`."""
        stream = self._source.stream
        return lookback(stream, mark, horizon_unknown=mark.mode.startswith("lookback")) + unread_below(
            mark, stream.zone
        )

    def lag(self, mark: Watermark) -> timedelta:
        """Return how coarse the cursor is; see `SourceSide`."""
        return lag(mark)

    def lowest(self) -> int | None:
        """Return the lowest usable cursor."""
        with translating_postgres(self.conninfo, self.name):
            found = self._source.lowest(self.connection)
        return micros(found) if found else None

    def digests(self, pieces: Pieces) -> dict[int, Digest]:
        """Return the digest of each piece, computed by the server."""
        found: dict[int, Digest] = {}
        for part in self._parts(pieces.span):
            query = sql.SQL(
                "select width_bucket({utc}, {bounds}::timestamp[]) - 1, count(*),"
                " sum(('x0' || left(md5(convert_to({version}, 'UTF8')), 15))::bit(64)::bigint)"
                " from {table} as t where {within} group by 1"
            ).format(
                utc=self._utc,
                bounds=sql.Literal([moment(bound) for bound in pieces.bounds]),
                version=self._version,
                table=self._source.relation,
                within=self._within(part),
            )
            for number, rows, total in self._ask(query):
                before = found.get(number, Digest())
                found[number] = Digest(before.rows + rows, before.hash + int(total))
        return found

    def versions(self, span: Span) -> Iterator[list[Version]]:
        """Yield the rows in the span, in batches of one statement."""
        query = sql.SQL("select {}, {}, {} from {} as t where {}").format(
            self._key, self._micros, self._row, self._source.relation, self._within(span)
        )
        return self._stream(query)

    def lookup(self, keys: Sequence[tuple[str, ...]]) -> list[Version]:
        """Return the current rows with these keys, through the key's index where there is one."""
        query = sql.SQL(
            "select {key}, case when not ({unusable}) then {micros} end, {row}"
            " from unnest({arrays}) as u ({names}) join {table} as t on {matches}"
        ).format(
            key=self._key,
            unusable=self._source.unusable,
            micros=self._micros,
            row=self._row,
            arrays=sql.SQL(", ").join(
                sql.SQL("{}::text[]").format(sql.Literal(list(column))) for column in zip(*keys, strict=True)
            ),
            names=sql.SQL(", ").join(sql.SQL(f"k{number}") for number in range(len(self._keys))),
            table=self._source.relation,
            matches=sql.SQL(" and ").join(self._matches),
        )
        return self._ask(query)

    def unusable(self) -> Iterator[list[str]]:
        """Yield the keys of rows whose cursor is NULL, infinite, or outside of the years 1 to 9999."""
        query = sql.SQL("select {} from {} as t where ({}) and not ({})").format(
            self._key, self._source.relation, self._source.unusable, self._source.has_no_key
        )
        for batch in self._stream(query):
            yield [key for (key,) in batch]

    def keyless(self) -> Iterator[list[tuple[str, int | None]]]:
        """Yield the rows with NULL in a key column; see `SourceSide`."""
        shown = sql.SQL("array_to_string(array[{}], ',', 'NULL')").format(sql.SQL(", ").join(self._keys))
        query = sql.SQL("select {}, case when not ({}) then {} end from {} as t where {}").format(
            shown, self._source.unusable, self._micros, self._source.relation, self._source.has_no_key
        )
        return self._stream(query)

    def _parts(self, span: Span) -> Iterator[Span]:
        """Split the span into one part per statement; only very large tables need more than one."""
        ((rows,),) = self._ask(
            sql.SQL("select reltuples::bigint from pg_class where oid = to_regclass({})").format(
                sql.Literal(self._source.table.as_string(self.connection))
            )
        )
        pieces = Pieces.of(span, max(1, rows // _ROWS_A_STATEMENT))
        for number in range(len(pieces.bounds)):
            yield pieces[number]

    @property
    def _key(self) -> sql.Composable:
        return self._joined(self._keys)

    @property
    def _row(self) -> sql.Composable:
        return row_hash(self.row_columns) if self.row_columns else sql.SQL("null")

    @property
    def _version(self) -> sql.Composable:
        """The text of a row that is hashed when pieces are compared."""
        version = sql.SQL("{} || '|' || {}").format(self._key, self._micros)
        return sql.SQL("{} || '|' || {}").format(version, self._row) if self.row_columns else version

    @staticmethod
    def _joined(parts: Sequence[sql.Composable]) -> sql.Composable:
        if len(parts) == 1:
            return parts[0]
        return sql.SQL(" || ").join(sql.SQL("length({0}) || ':' || {0}").format(part) for part in parts)

    @property
    def _utc(self) -> sql.Composable:
        return (
            sql.SQL("({} at time zone 'utc')").format(self._source.cursor)
            if self._source.is_zoned
            else sql.SQL("{}::timestamp").format(self._source.cursor)
        )

    @property
    def _micros(self) -> sql.Composable:
        return sql.SQL("(extract(epoch from {}) * 1000000)::bigint").format(self._source.cursor)

    def _within(self, span: Span) -> sql.Composable:
        cursors = self._source.between(moment(span.low), moment(span.high))
        return sql.SQL("{} and not ({}) and not ({})").format(cursors, self._source.has_no_key, self._in_flight)

    def _stream(self, query: sql.Composed) -> Iterator[list[Any]]:
        """Yield the query's rows in batches, through a server-side cursor."""
        with (
            translating_postgres(self.conninfo, self.name),
            self.connection.transaction(),
            self.connection.cursor("reconcile") as cursor,
        ):
            cursor.execute(query)
            while batch := cursor.fetchmany(_BATCH):
                yield batch

    def _ask(self, query: sql.Composed) -> list[tuple[Any, ...]]:
        # Values are literals: in a query with parameters, a percent sign in a column name would be read as one.
        with translating_postgres(self.conninfo, self.name):
            return self.connection.execute(query).fetchall()


def _text(column: sql.Composable, base: str) -> sql.Composable:
    if base == "numeric":
        return sql.SQL("trim_scale({})::text").format(column)
    if base == "timestamptz":
        return sql.SQL("({} at time zone 'utc')::text").format(column)
    return sql.SQL("{}::text").format(column)
