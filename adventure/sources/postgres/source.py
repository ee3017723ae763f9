"""PostgreSQL as a source: one horizon and one snapshot for all of its streams.

The order of the steps matters: lock the tables, read the catalogue, read the horizon, and only then take the snapshot.
The first query takes it.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import psycopg
import pyarrow as pa

from adventure.core.clock import earlier
from adventure.core.connect import PROBE_CLIENT, postgres_error, translating_postgres
from adventure.core.errors import SourceError, SourceRefused, SourceShapeError, SourceUnavailable
from adventure.core.files import Reject
from adventure.core.ids import Position, Sample
from adventure.core.kinds import WAREHOUSES
from adventure.core.settings import Settings
from adventure.core.sql_text import quoted
from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.postgres.access import no_table, refusal, with_remedy
from adventure.sources.postgres.appended import NOTE
from adventure.sources.postgres.baseline import Baseline
from adventure.sources.postgres.clock_steps import ClockWatch, Floors
from adventure.sources.postgres.copy import CopySession
from adventure.sources.postgres.growing import Growing, begin, read_growing
from adventure.sources.postgres.horizon import MARGIN, Horizon, blocking_session, read_horizon
from adventure.sources.postgres.log.cycle import LogCycle, LogReader
from adventure.sources.postgres.origin import origin_query, read_origin
from adventure.sources.postgres.plan import Plan, check_reference, plan_stream, table_of
from adventure.sources.postgres.rejects import rejected_rows_query, rejects_of
from adventure.sources.postgres.relations import Member, Relation, read_relations, rows_in
from adventure.sources.postgres.resolution import Resolution, known_resolution, whole_units
from adventure.sources.postgres.session import connect_source, extracting_conninfo, session_settings, source_name
from adventure.sources.postgres.snapshot import PostgresSnapshot
from adventure.sources.postgres.warnings import FUTURE, WarningLog, rows_in_the_future
from adventure.sources.postgres.zone import ZoneWatch
from adventure.sources.progress import log_progress
from adventure.sources.source import NOT_BEGUN, SourceSnapshot

LOCK_TIMEOUT_MS = 1000
"""How long one connection waits for a lock while the other one holds the snapshot's locks."""

_SAVEPOINT = "before_extract"

_FINGERPRINT = """
select string_agg(concat_ws('/', c.oid, c.relfilenode, a.columns), ',' order by c.oid)
from pg_class as c
cross join lateral (
    select string_agg(concat_ws(' ', attnum, attname, atttypid, atttypmod), ';' order by attnum) as columns
    from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped
) as a
where c.oid = any(%s)
"""


@dataclass
class PostgresSource:
    """The source database, with one connection for questions and one for extracts."""

    settings: Settings
    retry_for: float | None = None
    _deduplicators: dict[str, Deduplicator] = field(default_factory=dict)
    _lookbacks: dict[str, timedelta] = field(default_factory=dict)
    _clock: ClockWatch = field(default_factory=ClockWatch)
    _baseline: Baseline | None = None
    _due_at: dict[str, float] = field(default_factory=dict)
    _chosen: dict[str, Stream] = field(default_factory=dict)
    """The streams of the open snapshot, in the mode in which each is read."""
    _samples: dict[str, tuple[Sample, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._name = source_name(self.settings)
        self._warnings = WarningLog(self._name.label)
        self._log = LogReader(self.settings, self.settings.data_dir / "log" / self._name.label)
        self._conninfo = self.settings.postgres_dsn
        self._connections = ExitStack()
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        self._asking = connect_source(self.settings, retry_for=self.retry_for, silence=self.settings.silence_sec)
        self._connections.callback(self._asking.close)
        self._utf8 = self._asking.info.parameter_status("server_encoding") != "SQL_ASCII"
        with self._translating():
            self._asking.execute("set client_encoding = 'UTF8'")
            # Do this before our session settings, which hide those of the role.
            self._zones = ZoneWatch.of(self._asking)
            self._asking.execute(session_settings(self._asking, "UTF8", self.settings.hash_key).encode())
            self._origin_query = origin_query(self._asking)
            # A server with SQL_ASCII would fail at the first invalid text. Let it send bytes; we check them here.
            statements = session_settings(self._asking, "UTF8" if self._utf8 else "SQL_ASCII", self.settings.hash_key)
            extracting = extracting_conninfo(self._asking, self._conninfo, self._name)
        self._extracting = CopySession(extracting, self._name, self.settings.silence_sec)
        self._connections.callback(self._extracting.close)
        self._extracting.execute(statements)
        self._extracting.execute(PROBE_CLIENT)
        with self._extracting.batches("select pg_backend_pid() as pid") as batches:
            self._extracting_pid = int(next(batches)["pid"][0].as_py())

    @property
    def margin(self) -> timedelta:
        """How far the horizon stays below the clock; see `Source`."""
        return MARGIN

    @property
    def delta(self) -> bool:
        """Whether the warehouse reads Parquet's delta encodings."""
        return WAREHOUSES[self.settings.warehouse].delta_encodings

    def close(self) -> None:
        """Close both connections."""
        self._connections.close()

    def deduplicator(self, stream: Stream, lookback: timedelta) -> Deduplicator:
        """Start an extract of the stream: return its deduplicator."""
        self._lookbacks[stream.name] = lookback
        deduplicator = self._deduplicators.setdefault(stream.name, Deduplicator())
        deduplicator.begin()
        return deduplicator

    def mark_staged(self, stream: Stream, floor: datetime) -> None:
        """Acknowledge that the stream's last extract was staged; see `Source`."""
        stream = self._chosen.get(stream.name, stream)
        if stream.is_log:
            self._cycle.done.add(stream.name)
            return
        if stream.is_snapshot:
            self.was_read(stream)
            return
        if stream.is_append:
            return
        self._deduplicators[stream.name].staged(earlier(floor, self._lookbacks[stream.name]))
        self._clock.staged(stream.name)

    def release(self, marks: Mapping[str, Watermark]) -> list[str]:
        """Drop the replication slots that no watermark names; see `Source`."""
        with self._translating():
            return LogCycle(self._log, marks, self._asking).release()

    @property
    def baseline(self) -> Baseline:
        """What was staged of tables in snapshot mode. It is opened when it is first needed, and after an error."""
        if self._baseline is None or self._baseline.is_lost:
            self._baseline = Baseline(self.settings)
            self._connections.callback(self._baseline.close)
        return self._baseline

    def is_due(self, stream: Stream) -> bool:
        """Return whether a table in snapshot mode is to be read again."""
        return time.monotonic() >= self._due_at.get(stream.name, 0.0)

    def was_read(self, stream: Stream) -> None:
        """Note that a table in snapshot mode was read, and what was found is staged."""
        self._due_at[stream.name] = time.monotonic() + stream.interval.total_seconds()

    @contextmanager
    def open_snapshot(
        self, streams: Sequence[Stream], marks: Mapping[str, Watermark], begun: Mapping[str, str] = NOT_BEGUN
    ) -> Iterator[SourceSnapshot]:
        """Lock the tables against DDL, read the horizon, then take one snapshot for all streams.

        The locks come first, because a table that is rewritten while a snapshot waits for it looks empty to that
        snapshot. The horizon is read before the snapshot is taken: read within it, it could lie above rows that the
        snapshot cannot see.
        """
        unreadable: dict[str, SourceError] = {}
        with self._extracting.transaction():
            with self._translating():
                self._asking.execute("set lock_timeout = 0")
                # Do this before the snapshot: a relation that is attached later is then new in the next window.
                relations = read_relations(self._asking, streams)
                unreadable |= self._refused(streams, relations)
                readable = [stream for stream in streams if stream.name not in unreadable]
                # The slot comes before the snapshot: what is committed in between is in both.
                self._cycle = LogCycle(self._log, marks, self._asking)
                self._cycle.prepare(readable, relations)
                unreadable |= self._cycle.unreadable
                streams = [self._cycle.chosen(stream) for stream in streams]
                self._chosen = {stream.name: stream for stream in streams}
                self._lock(stream for stream in readable if relations[stream.name].lockable)
                # LOCK TABLE needs the privilege on the whole table.
                unlocked = {
                    stream.name: self.fingerprint(relations[stream.name])
                    for stream in readable
                    if not relations[stream.name].root.readable
                }
                # If a session waits for one of these locks, our other connection queues behind it. Without a timeout
                # both would wait forever.
                self._asking.execute(f"set lock_timeout = {LOCK_TIMEOUT_MS}")
                plans = self._plan(streams, marks, relations, unreadable)
                growing = self._growing(plans, marks, relations, unreadable)
                origin = read_origin(self._asking, self._origin_query)
                horizon = read_horizon(self._asking, self._extracting_pid)
                self._warnings.of_horizon(horizon, lambda: blocking_session(self._asking, self._extracting_pid))
                ends = self._zones.ends(self._asking, plans.values(), horizon.moment)
                doubted = {name for name, plan in plans.items() if self._zones.in_doubt(plan, marks.get(name))}
                for name in doubted:
                    ends[name] = self._zones.end_in_doubt(plans[name], ends[name], horizon)
                    self._warnings.of_doubt(plans[name], horizon)
                floors = self._floors(plans, marks, horizon)
            with self._log_cycle(plans, origin, unreadable):
                yield PostgresSnapshot(
                    horizon,
                    plans,
                    relations,
                    unreadable,
                    marks,
                    self,
                    floors,
                    self._cycle,
                    horizons=ends,
                    database=origin,
                    unlocked=unlocked,
                    doubted=doubted,
                    growing=growing,
                )

    def _growing(
        self,
        plans: Mapping[str, Plan],
        marks: Mapping[str, Watermark],
        relations: Mapping[str, Relation],
        unreadable: dict[str, SourceError],
    ) -> dict[str, Growing]:
        """Sample how far the ids of streams in append mode were handed out."""
        found: dict[str, Growing] = {}
        for name, plan in plans.items():
            if plan.stream.is_append and name not in unreadable:
                with self._alone(plan.stream, unreadable):
                    position = begin(marks.get(name), plan, relations[name])
                    # Samples of a table that was created again since say nothing.
                    is_new = name in marks and position == Position()
                    samples = () if is_new else self._samples.get(name, position.samples)
                    found[name] = read_growing(self._asking, plan, relations[name], position, samples)
        return found

    def warn_of_attached(self, stream: Stream, new: Sequence[Member]) -> None:
        """Log which relations were attached, whose rows are read whatever their ids."""
        self._warnings.of_attached(stream, new)

    def was_sampled(self, stream: Stream, growing: Growing) -> None:
        """Keep the samples for the next cycle, and warn about rows that are not read."""
        self._samples[stream.name] = growing.samples
        self._warnings.of_growing(stream, NOTE, growing.note)

    @contextmanager
    def _log_cycle(
        self, plans: Mapping[str, Plan], origin: Origin, unreadable: dict[str, SourceError]
    ) -> Iterator[None]:
        """Read the log, and advance the slot when the block has staged what it holds."""
        streams = [plan.stream for plan in plans.values() if plan.stream.is_log and plan.stream.name not in unreadable]
        try:
            if streams:
                self.set_savepoint()
                try:
                    self._cycle.begin(streams, self._extracting.batches, origin.timeline)
                except SourceError as error:
                    if isinstance(error, SourceUnavailable) or not self.rolls_back_to_savepoint():
                        raise
                    unreadable |= {stream.name: error for stream in streams}
            yield
            with self._translating():
                if not any(stream.name in unreadable for stream in streams):
                    self._cycle.finish()
        finally:
            self._cycle.close()

    def fingerprint(self, relation: Relation) -> str | None:
        """Return a text that changes when a table is rewritten, truncated, or gets other columns."""
        with self._translating():
            found = self._asking.execute(_FINGERPRINT, [[member.oid for member in relation.members]]).fetchone()
        return found[0] if found else None

    def _floors(self, plans: Mapping[str, Plan], marks: Mapping[str, Watermark], horizon: Horizon) -> Floors:
        """Compute from where each stream has to be read if the server's clock was set back."""
        floors = Floors(self._clock, horizon)
        for name, plan in plans.items():
            if name in marks and not plan.stream.has_read_at:
                resolution = known_resolution(marks[name], is_date=plan.is_date)
                unit = max(plan.step, resolution.longest if resolution else plan.step)
                floors.add(marks[name], unit, partial(self._read_up_to, plan, resolution))
                self._warnings.of_clock(name, floors.reported(name), floors.note(name))
        return floors

    def _read_up_to(self, plan: Plan, resolution: Resolution | None, horizon: datetime) -> datetime:
        """Return the end of a window that is read up to that horizon, in the zone of the stream's cursor."""
        end = self._zones.ends(self._asking, [plan], horizon)[plan.stream.name]
        return whole_units(end, plan.step, resolution)

    @contextmanager
    def batches(self, plan: Plan, query: str) -> Iterator[Iterator[pa.RecordBatch]]:
        """Yield the batches of a query in the open snapshot, with prefetch."""
        with self._extracting.batches(query) as batches:
            yield log_progress(plan.stream, batches, "rows")

    def set_savepoint(self) -> None:
        """Set the savepoint to which the transaction returns if the next extract fails."""
        self._extracting.execute(f"savepoint {_SAVEPOINT}")

    def rolls_back_to_savepoint(self) -> bool:
        """Roll back to the savepoint; return whether both connections still work."""
        try:
            self._extracting.execute(f"rollback to savepoint {_SAVEPOINT}")
            with self._translating():
                self._asking.execute("select")
        except SourceError:
            return False
        return True

    def rejects(self, plan: Plan, condition: str) -> Iterator[Reject]:
        """Yield the rows under the condition that cannot be converted, as PostgreSQL prints them."""
        with self.batches(plan, rejected_rows_query(plan, condition, utf8=self._utf8)) as batches:
            yield from rejects_of(plan, batches)

    def notes(self, plan: Plan, *, new: bool) -> dict[str, str]:
        """Return the notes for the stream's window. Without a window, log the warning once instead.

        Args:
            new: whether there is a window.
        """
        if not new and not self._warnings.looks_now(plan, "future"):
            return {}
        with self._translating():
            future = rows_in_the_future(plan, self._asking)
        if not new:
            self._warnings.of_future(plan, future)
        return {FUTURE: future} if future else {}

    def attached(self, plan: Plan, relation: Relation, mark: Watermark) -> Callable[[str], str] | None:
        """Return a function from an alias to the condition that a row lies in a newly attached relation, or None."""
        new = relation.new_since(mark.position)
        if not new:
            return None
        self._warnings.of_attached(plan.stream, new)
        if plan.relation != plan.table:
            # A subquery has no tableoid that would show in which partition a row lies.
            return lambda _: "true"
        with self._translating():
            return rows_in(self._asking, relation, new)

    def lies_in(self, plan: Plan, relation: Relation, members: Sequence[Member]) -> str:
        """Return the condition that a row of `t` lies in these members, whose key the server keeps unique."""
        with self._translating():
            lies_in = rows_in(self._asking, relation, members)
        key = ", ".join(quoted(name) for name in plan.stream.key)
        within = ", ".join(f"r.{quoted(name)}" for name in plan.stream.key)
        return f"(({key}) in (select {within} from {plan.table} as r where {lies_in('r')}))"

    def _refused(self, streams: Sequence[Stream], relations: Mapping[str, Relation]) -> dict[str, SourceError]:
        """Return errors by stream: the relation is missing, of the wrong kind, or partly hidden from the role."""
        found: dict[str, SourceError] = {}
        for stream in streams:
            relation = relations.get(stream.name)
            with self._alone(stream, found):
                refused = (
                    no_table(self._asking, stream)
                    if relation is None
                    else relation.refused or refusal(self._asking, stream, relation, self.settings.postgres_user)
                )
                if refused:
                    raise refused
        return found

    @contextmanager
    def _alone(self, stream: Stream, unreadable: dict[str, SourceError]) -> Iterator[None]:
        """Store an error that concerns one stream only, such as that of its view's query, in `unreadable`."""
        try:
            yield
        except (SourceShapeError, SourceRefused) as error:
            unreadable.setdefault(stream.name, error)
        except psycopg.errors.LockNotAvailable:
            raise
        except psycopg.Error as error:
            failed = postgres_error(error, self._conninfo, self._name)
            if isinstance(failed, SourceUnavailable):
                raise
            unreadable.setdefault(stream.name, with_remedy(failed, error))

    def _lock(self, streams: Iterable[Stream]) -> None:
        """Lock the tables against changes of their columns until the snapshot ends. Writers neither wait nor block."""
        if names := sorted({table_of(stream) for stream in streams}):
            self._extracting.execute(f"lock table {', '.join(names)} in access share mode")

    def _plan(
        self,
        streams: Sequence[Stream],
        marks: Mapping[str, Watermark],
        relations: Mapping[str, Relation],
        unreadable: dict[str, SourceError],
    ) -> dict[str, Plan]:
        """Return how to read each stream. A stream that refers to an unreadable one waits for it."""
        plans: dict[str, Plan] = {}
        for stream in streams:
            with self._alone(stream, unreadable):
                for parent in stream.references:
                    if parent in unreadable:
                        raise SourceShapeError(f"stream {stream.name} waits for {parent}, to which it refers")
                if stream.name not in unreadable:
                    plan = plan_stream(self._asking, stream, utf8=self._utf8)
                    for parent in filter(plans.get, stream.references):
                        check_reference(plan, plans[parent])
                    mark = marks.get(stream.name)
                    self._warnings.of_zone(plan, self._zones.check(self._asking, plan, mark.value if mark else None))
                    if not stream.has_read_at:
                        self._warnings.of_plan(plan, relations[stream.name], self._asking)
                    self._warnings.of_left_out(plan)
                    plans[stream.name] = plan
        return plans

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """Turn errors of the connection for questions into those of the error tree."""
        with translating_postgres(self._conninfo, self._name):
            try:
                yield
            except psycopg.errors.LockNotAvailable as error:
                raise SourceUnavailable(
                    "A session waits to change a table while it is read (alter table, refresh, truncate, vacuum full)",
                    "The processor lets that session go first, and reads again in its next cycle",
                ) from error
