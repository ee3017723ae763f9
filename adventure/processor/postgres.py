"""PostgreSQL as a source: one horizon and one snapshot for all of its streams, rows as Arrow record batches.

Timestamps are set before a transaction commits, so `cursor > the largest seen` loses every row that commits late. The
horizon is the moment below which nothing can be committed any more: the start of the oldest transaction that is open.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql
from psycopg.conninfo import make_conninfo

from adventure.connect import connect_postgres, postgres_error, translating_postgres
from adventure.errors import SourceError, SourceShapeError, SourceUnavailable
from adventure.log import get_logger
from adventure.processor.columns import SourceColumn, plan_column
from adventure.processor.files import ParquetParts, Reject, write_rejects, writing
from adventure.processor.seen import Seen
from adventure.processor.source import Cut, Extract
from adventure.processor.state import Watermark
from adventure.settings import Settings
from adventure.streams import Stream

MARGIN = timedelta(milliseconds=100)
"""The horizon's distance from the clock: a transaction has its timestamp a moment before others can see it."""

FALLBACK_LOOKBACK = timedelta(seconds=60)
"""Read again below the watermark where the horizon cannot be known and the stream names no lookback."""

STALLED = timedelta(seconds=60)
"""A horizon older than this is reported with the session that holds it."""

_NAME = "the source database"
_TICK = timedelta(microseconds=1)

_COLUMNS = """
select a.attname, coalesce(base.typname, t.typname), case when base.oid is null then a.atttypmod else t.typtypmod end
from pg_attribute as a
join pg_type as t on t.oid = a.atttypid
left join pg_type as base on base.oid = nullif(t.typbasetype, 0)
where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""

_IS_INDEXED = """
select exists (
    select from pg_index as i
    join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = to_regclass(%s) and a.attname = %s and i.indisvalid and i.indpred is null
)
"""

# Read after the clock: a transaction that begins in between starts above it.
_OTHERS = """
select
    min(xact_start) at time zone 'utc',
    pg_has_role(current_user, 'pg_read_all_stats', 'usage'),
    (select count(*) from pg_prepared_xacts where database = current_database())
from pg_stat_activity
where datname = current_database() and pid not in (pg_backend_pid(), %s)
    and backend_type is distinct from 'autovacuum worker'
"""

_HOLDER = """
select pid, application_name, usename, state from pg_stat_activity
where datname = current_database() and pid not in (pg_backend_pid(), %s) and xact_start is not null
order by xact_start limit 1
"""

log = get_logger()


@dataclass(frozen=True)
class _Plan:
    """How a stream is read."""

    table: str
    """Quoted, with its schema."""
    columns: tuple[SourceColumn, ...]
    key_positions: tuple[int, ...]
    cursor_position: int

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(column.name, column.type) for column in self.columns])


@dataclass
class PostgresCut:
    """A horizon, and the snapshot that was taken after it."""

    horizon: datetime
    mode: str
    plans: dict[str, _Plan]
    unfit: dict[str, SourceError]
    marks: Mapping[str, Watermark]
    source: "PostgresSource"
    tick: timedelta = _TICK

    def extract(self, stream: Stream, folder: Path) -> Extract:
        """The stream's rows as Parquet; see `Cut`."""
        plan, mark = self.plans[stream.name], self.marks.get(stream.name)
        lookback = stream.lookback if self.mode == "horizon" else max(stream.lookback, FALLBACK_LOOKBACK)
        low = mark.value - lookback if mark else None
        return self.source.read(stream, plan, low, self.horizon, lookback, folder)


@dataclass
class PostgresSource:
    """The source database, with a connection that asks and one that extracts."""

    settings: Settings
    _seen: dict[str, Seen] = field(default_factory=dict)
    _lookbacks: dict[str, timedelta] = field(default_factory=dict)
    _warned: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._conninfo = self.settings.postgres_dsn
        self._asking = connect_postgres(self._conninfo, name=_NAME, autocommit=True)
        with self._translating():
            # Outside of a cut it must stand in no transaction: an open one holds back everybody's horizon.
            self._extracting = adbc.connect(
                make_conninfo(self._conninfo, application_name="adventure"), autocommit=True
            )
            with self._extracting.cursor() as cursor:
                cursor.execute("select pg_backend_pid()")
                self._extracting_pid = int(cursor.fetchall()[0][0])

    def close(self) -> None:
        """Ends both connections."""
        self._extracting.close()
        self._asking.close()

    def remember(self, stream: Stream, floor: datetime) -> None:
        """The last extract of the stream is staged; see `Source`."""
        if stream.name in self._seen:
            self._seen[stream.name].staged(floor - self._lookbacks[stream.name])

    @contextmanager
    def cut(self, streams: Sequence[Stream], marks: Mapping[str, Watermark]) -> Iterator[Cut]:
        """First the horizon, in transactions of its own; then one snapshot for all streams.

        The order is essential: a horizon read within the snapshot may lie above rows that the snapshot cannot see.
        """
        plans: dict[str, _Plan] = {}
        unfit: dict[str, SourceError] = {}
        with self._translating():
            for stream in streams:
                try:
                    plans[stream.name] = self._plan(stream)
                except SourceShapeError as error:
                    unfit[stream.name] = error
            horizon, mode = self._horizon()
            self._extracting.adbc_connection.set_autocommit(False)
        try:
            with self._translating(), self._extracting.cursor() as cursor:
                cursor.adbc_statement.set_sql_query("set transaction isolation level repeatable read read only")
                cursor.adbc_statement.execute_update()
            yield PostgresCut(horizon, mode, plans, unfit, marks, self)
        finally:
            with self._translating():
                self._extracting.rollback()
                self._extracting.adbc_connection.set_autocommit(True)

    def read(
        self, stream: Stream, plan: _Plan, low: datetime | None, horizon: datetime, lookback: timedelta, folder: Path
    ) -> Extract:
        """Streams the rows with `low <= cursor < horizon` of the open snapshot into Parquet files."""
        seen = self._seen.setdefault(stream.name, Seen()) if lookback else None
        self._lookbacks[stream.name] = lookback
        if seen:
            seen.begin()
        parts = ParquetParts(folder, plan.schema, [column.name for column in plan.columns if column.low_cardinality])
        bad_keys: dict[tuple[str, ...], str] = {}
        last: datetime | None = None
        with self._translating(), self._extracting.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(4 << 20)})
            cursor.execute(self._query(plan, low, horizon))
            for batch in _with_progress(cursor.fetch_record_batch(), stream):
                carried, bad = _carry(batch, plan)
                cursors = carried.column(plan.cursor_position)
                if bad is not None:
                    bad_keys |= _keys_of_rejects(batch, carried, plan)
                    carried = carried.filter(pc.invert(bad))
                if seen:
                    carried = _only_new(carried, plan, seen)
                largest = pc.max(cursors).as_py() if len(cursors) else None
                last = max(filter(None, (last, largest)), default=None)
                with writing(folder):
                    parts.write(carried)
        with writing(folder):
            files = parts.close()
            rejects = write_rejects(folder, self._rejects(plan, bad_keys, low, horizon))
        notes = self._notes(plan, horizon) if files else {}
        return Extract(files, rejects, tuple(column.column for column in plan.columns), last, notes)

    def _query(self, plan: _Plan, low: datetime | None, horizon: datetime) -> str:
        expressions = ", ".join(column.expression for column in plan.columns)
        return f"select {expressions} from {plan.table} where {_range(plan, low, horizon)}"

    def _rejects(
        self, plan: _Plan, bad: dict[tuple[str, ...], str], low: datetime | None, horizon: datetime
    ) -> list[Reject]:
        """The rows set aside, whole, as PostgreSQL prints them in the same snapshot."""
        rejects = []
        key = ", ".join(f"{_quoted(plan.columns[position].name)}::text" for position in plan.key_positions)
        keys = list(bad)
        for begin in range(0, len(keys), 1000):
            wanted = ", ".join(f"({', '.join(map(_literal, each))})" for each in keys[begin : begin + 1000])
            with self._translating(), self._extracting.cursor() as cursor:
                cursor.execute(
                    f"select array[{key}]::text as key, row_to_json(t)::text as row, {key} from {plan.table} as t"
                    f" where {_range(plan, low, horizon)} and ({key}) in ({wanted})"
                )
                for _, row, *parts in cursor.fetchall():
                    rejects.append(Reject(",".join(parts), bad[tuple(parts)], row))
        return rejects

    def _notes(self, plan: _Plan, horizon: datetime) -> dict[str, str]:
        """Rows whose cursor lies past the clock are not lost, only late: say so."""
        cursor_name = _quoted(plan.columns[plan.cursor_position].name)
        with self._translating():
            found = self._asking.execute(
                f"select count(*), max({cursor_name})::text from {plan.table}"
                f" where {cursor_name} >= clock_timestamp() at time zone 'utc' + interval '1 second'"
            ).fetchone()
        if not found or not found[0]:
            return {}
        return {"rows dated in the future": f"{found[0]:,}, up to {found[1]}: they wait until the clock is past them"}

    def _horizon(self) -> tuple[datetime, str]:
        """The moment below which every row that will ever be committed is committed, and how it was found."""
        clock: datetime = self._ask("select clock_timestamp() at time zone 'utc'")[0][0]
        oldest, sees_all, prepared = self._ask(_OTHERS, [self._extracting_pid])[0]
        if not sees_all or prepared:
            reason = "the role lacks pg_read_all_stats" if not sees_all else "a prepared transaction is open"
            if reason not in self._warned:
                self._warned.add(reason)
                log.warning(
                    f"postgres: {reason}, so how late rows may still commit is unknown: each window reads again"
                    f" {FALLBACK_LOOKBACK.total_seconds():.0f} s below the watermark (or the stream's lookback)"
                )
            return clock - MARGIN, f"lookback: {reason}"
        horizon = min(clock, oldest or clock) - MARGIN
        if clock - horizon > STALLED:
            self._warn_stalled(clock - horizon)
        else:
            self._warned.discard("stalled")
        return horizon, "horizon"

    def _warn_stalled(self, age: timedelta) -> None:
        """Once for each stall."""
        holder = self._ask(_HOLDER, [self._extracting_pid])
        if holder and "stalled" not in self._warned:
            self._warned.add("stalled")
            pid, application, user, state = holder[0]
            log.warning(
                f"postgres: the horizon is {age.total_seconds():.0f} s old: session {pid} ({application or 'no name'},"
                f" user {user}, {state}) has had a transaction open since; newer rows wait until it ends"
            )

    def _plan(self, stream: Stream) -> _Plan:
        """What the catalogue says of the stream's table, asked in each cycle: columns come and go.

        Raises:
            SourceShapeError: no such table or column, or a cursor of a type that cannot be one.
        """
        where, table = f"stream {stream.name}", f"{_quoted(stream.namespace)}.{_quoted(stream.table)}"
        found = self._ask(_COLUMNS, [table])
        if not found:
            raise SourceShapeError(
                f"{where}: there is no table {stream.location} in database {self.settings.postgres_db}",
                "Mend namespace and table in pipeline.toml, or grant the role USAGE on the schema",
            )
        names = [name for name, _, _ in found]
        for what, name in (("cursor", stream.cursor), *(("key", key) for key in stream.key)):
            if name not in names:
                raise SourceShapeError(
                    f"{where}: {stream.location} has no column {name}, which is its {what}",
                    f"Its columns are {', '.join(names)}; mend {what} in pipeline.toml",
                )
        position = names.index(stream.cursor)
        if found[position][1] not in ("timestamp", "timestamptz"):
            raise SourceShapeError(
                f"{where}: its cursor {stream.cursor} is of type {found[position][1]}",
                "A cursor is a timestamp or timestamptz that grows with every change",
            )
        columns = tuple(plan_column(name, kind, typmod, stream.types.get(name)) for name, kind, typmod in found)
        self._warn_unindexed(stream, table)
        return _Plan(table, columns, tuple(names.index(key) for key in stream.key), position)

    def _warn_unindexed(self, stream: Stream, table: str) -> None:
        if stream.name in self._warned:
            return
        self._warned.add(stream.name)
        if self._ask(_IS_INDEXED, [table, stream.cursor]) != [(True,)]:
            log.warning(
                f"{stream.name}: {stream.location} has no index on {stream.cursor}: every cycle reads the whole table."
                f" create index on {table} ({_quoted(stream.cursor)})",
                stream=stream.name,
            )

    def _ask(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._asking.execute(query, values).fetchall()

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """Turns what both drivers raise into the error tree's errors."""
        try:
            with translating_postgres(self._conninfo, _NAME):
                yield
        except adbc_driver_manager.Error as error:
            translated = postgres_error(error, self._conninfo, _NAME)
            if not error.sqlstate and type(translated) is SourceError:
                raise SourceUnavailable(translated.problem, "Check that it runs, and the host and port") from error
            raise translated from error


def _range(plan: _Plan, low: datetime | None, horizon: datetime) -> str:
    """The window as a condition. COPY takes no parameters; these are our own timestamps, written as literals."""
    column = plan.columns[plan.cursor_position]
    name = _quoted(column.name)
    zone = "timestamptz" if "time zone" in column.expression else "timestamp"
    suffix = "+00" if zone == "timestamptz" else ""
    below = f"{name} < {zone} '{horizon.isoformat(' ')}{suffix}'"
    return f"{name} >= {zone} '{low.isoformat(' ')}{suffix}' and {below}" if low else below


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)


def _literal(text: str) -> str:
    return sql.Literal(text).as_string(None)


def _carry(batch: pa.RecordBatch, plan: _Plan) -> tuple[pa.RecordBatch, pa.Array | None]:
    """The batch as it is staged, and which of its rows cannot be."""
    columns, bad = [], None
    for values, column in zip(batch.columns, plan.columns, strict=True):
        carried, unfit = column.carry(values)
        columns.append(carried)
        if unfit is not None:
            bad = unfit if bad is None else pc.or_(bad, unfit)
    return pa.RecordBatch.from_arrays(columns, schema=plan.schema), bad


def _keys_of_rejects(batch: pa.RecordBatch, carried: pa.RecordBatch, plan: _Plan) -> dict[tuple[str, ...], str]:
    """Key and reason of each row that a column cannot carry."""
    reasons: dict[int, list[str]] = {}
    for values, column in zip(batch.columns, plan.columns, strict=True):
        _, unfit = column.carry(values)
        for index in pc.indices_nonzero(unfit).to_pylist() if unfit is not None else ():
            reasons.setdefault(index, []).append(f"{column.name} {column.reason}")
    return {
        tuple(str(carried.column(position)[index].as_py()) for position in plan.key_positions): "; ".join(texts)
        for index, texts in reasons.items()
    }


def _only_new(batch: pa.RecordBatch, plan: _Plan, seen: Seen) -> pa.RecordBatch:
    """Without the rows that were staged already: same key, same cursor, hence the same version."""
    keys = zip(*(batch.column(position).to_pylist() for position in plan.key_positions), strict=True)
    cursors = batch.column(plan.cursor_position).to_pylist()
    new = [seen.is_new(key, cursor, cursor) for key, cursor in zip(keys, cursors, strict=True)]
    return batch if all(new) else batch.filter(pa.array(new, pa.bool_()))


def _with_progress(batches: Iterator[pa.RecordBatch], stream: Stream) -> Iterator[pa.RecordBatch]:
    """Says how far it is every two seconds."""
    rows, told = 0, time.monotonic()
    for batch in batches:
        yield batch
        rows += batch.num_rows
        if time.monotonic() - told > 2:
            told = time.monotonic()
            log.info(f"{stream.name}: {rows:,} rows read", stream=stream.name, rows=rows)
