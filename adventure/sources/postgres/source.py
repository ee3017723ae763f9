"""PostgreSQL as a source: one horizon and one snapshot for all of its streams.

The order of the steps matters: lock the tables, read the catalogue, read the horizon, and only then take the snapshot.
The first query takes it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from adventure.core.errors import SourceError, SourceUnavailable
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark
from adventure.sources.postgres.clock_steps import Floors
from adventure.sources.postgres.horizon import MARGIN, Horizon, blocking_session, read_horizon
from adventure.sources.postgres.log.cycle import LogCycle
from adventure.sources.postgres.log.reader import LogReader
from adventure.sources.postgres.memory import Memory
from adventure.sources.postgres.origin import read_origin
from adventure.sources.postgres.plan import Plan, table_of
from adventure.sources.postgres.planner import Planner
from adventure.sources.postgres.reader import Reader
from adventure.sources.postgres.relations import Relation, read_relations
from adventure.sources.postgres.resolution import Resolution, known_resolution, whole_units
from adventure.sources.postgres.snapshot import PostgresSnapshot
from adventure.sources.postgres.windows import Windows
from adventure.sources.source import NOT_BEGUN, SourceSnapshot

LOCK_TIMEOUT_MS = 1000
"""How long one connection waits for a lock while the other one holds the snapshot's locks."""


@dataclass
class PostgresSource:
    """The source database, with what is remembered of it from cycle to cycle."""

    settings: Settings
    retry_for: float | None = None
    _chosen: dict[str, Stream] = field(default_factory=dict)
    """The streams of the open snapshot, in the mode in which each is read."""

    def __post_init__(self) -> None:
        self._memory = Memory(self.settings)
        self._reader = Reader(self.settings, self.retry_for)
        self._log = LogReader(self.settings, self.settings.data_dir / "log" / self._reader.name.label)

    @property
    def margin(self) -> timedelta:
        """How far the horizon stays below the clock; see `Source`."""
        return MARGIN

    def close(self) -> None:
        """Close all connections."""
        with closing(self._reader):
            self._memory.close()

    def mark_staged(self, stream: Stream, floor: datetime) -> None:
        """Acknowledge that the stream's last extract was staged; see `Source`."""
        stream = self._chosen.get(stream.name, stream)
        if stream.is_log:
            self._cycle.done.add(stream.name)
        elif stream.is_snapshot:
            self._memory.was_read(stream)
        elif not stream.is_append:
            self._memory.was_staged(stream, floor)

    def release(self, marks: Mapping[str, Watermark]) -> list[str]:
        """Drop the replication slots that no watermark names; see `Source`."""
        with self._reader.translating():
            return LogCycle(self._log, marks, self._reader.asking).release()

    @contextmanager
    def open_snapshot(
        self, streams: Sequence[Stream], marks: Mapping[str, Watermark], begun: Mapping[str, str] = NOT_BEGUN
    ) -> Iterator[SourceSnapshot]:
        """Lock the tables against DDL, read the horizon, then take one snapshot for all streams.

        The locks come first, because a table that is rewritten while a snapshot waits for it looks empty to that
        snapshot. The horizon is read before the snapshot is taken: read within it, it could lie above rows that the
        snapshot cannot see.
        """
        with self._reader.copying.transaction():
            with self._reader.translating():
                snapshot = self._prepare(streams, marks)
            try:
                with self._log_cycle(snapshot.windows.plans, snapshot.database, snapshot.unreadable):
                    yield snapshot
            finally:
                self._reader.early.cancel()

    def _prepare(self, streams: Sequence[Stream], marks: Mapping[str, Watermark]) -> PostgresSnapshot:
        """Do everything that comes before the snapshot is taken."""
        asking = self._reader.asking
        asking.execute("set lock_timeout = 0")
        # Do this before the snapshot: a relation that is attached later is then new in the next window.
        relations = read_relations(asking, streams)
        planner = Planner(self._reader, marks, relations)
        readable = planner.readable(streams)
        # The slot comes before the snapshot: what is committed in between is in both.
        self._cycle = LogCycle(self._log, marks, asking)
        self._cycle.prepare(readable, relations)
        planner.unreadable |= self._cycle.unreadable
        self._chosen = {stream.name: self._cycle.chosen(stream) for stream in streams}
        unlocked = self._lock(readable, relations)
        # If a session waits for one of these locks, our other connection queues behind it. Without a timeout both
        # would wait forever.
        asking.execute(f"set lock_timeout = {LOCK_TIMEOUT_MS}")
        plans = planner.plan(list(self._chosen.values()))
        growing = planner.sample(plans, self._memory.samples)
        origin = read_origin(asking, self._reader.origin_query)
        windows = self._windows(plans, relations, marks)
        return PostgresSnapshot(
            self._reader, self._memory, windows, self._cycle, origin, planner.unreadable, unlocked, growing
        )

    def _lock(self, streams: Sequence[Stream], relations: Mapping[str, Relation]) -> dict[str, str | None]:
        """Lock the tables against changes of their columns until the snapshot ends. Writers neither wait nor block.

        Returns:
            The fingerprint of each table that cannot be locked: LOCK TABLE needs the privilege on the whole table.
        """
        if names := sorted({table_of(stream) for stream in streams if relations[stream.name].lockable}):
            self._reader.copying.execute(f"lock table {', '.join(names)} in access share mode")
        return {
            stream.name: self._reader.fingerprint(relations[stream.name])
            for stream in streams
            if not relations[stream.name].root.readable
        }

    def _windows(
        self, plans: Mapping[str, Plan], relations: Mapping[str, Relation], marks: Mapping[str, Watermark]
    ) -> Windows:
        """Read the horizon, and return which rows each stream's window has."""
        reader, zones = self._reader, self._reader.zones
        horizon = read_horizon(reader.asking, reader.copying_pid)
        reader.warnings.of_horizon(horizon, lambda: blocking_session(reader.asking, reader.copying_pid))
        ends = zones.ends(reader.asking, plans.values(), horizon.moment)
        doubted = {name for name, plan in plans.items() if zones.in_doubt(plan, marks.get(name))}
        for name in doubted:
            ends[name] = zones.end_in_doubt(plans[name], ends[name], horizon)
            reader.warnings.of_doubt(plans[name], horizon)
        floors = self._floors(plans, marks, horizon)
        return Windows(horizon, plans, relations, marks, floors, ends, doubted, reader.attached)

    def _floors(self, plans: Mapping[str, Plan], marks: Mapping[str, Watermark], horizon: Horizon) -> Floors:
        """Compute from where each stream has to be read if the server's clock was set back."""
        floors = Floors(self._memory.clock, horizon)
        for name, plan in plans.items():
            if name in marks and not plan.stream.has_read_at:
                resolution = known_resolution(marks[name], is_date=plan.is_date)
                unit = max(plan.step, resolution.longest if resolution else plan.step)
                floors.add(marks[name], unit, partial(self._read_up_to, plan, resolution))
                self._reader.warnings.of_clock(name, floors.reported(name), floors.note(name))
        return floors

    def _read_up_to(self, plan: Plan, resolution: Resolution | None, horizon: datetime) -> datetime:
        """Return the end of a window that is read up to that horizon, in the zone of the stream's cursor."""
        end = self._reader.zones.ends(self._reader.asking, [plan], horizon)[plan.stream.name]
        return whole_units(end, plan.step, resolution)

    @contextmanager
    def _log_cycle(
        self, plans: Mapping[str, Plan], origin: Origin, unreadable: dict[str, SourceError]
    ) -> Iterator[None]:
        """Read the log, and advance the slot when the block has staged what it holds."""
        streams = [plan.stream for plan in plans.values() if plan.stream.is_log and plan.stream.name not in unreadable]
        try:
            if streams:
                self._reader.set_savepoint()
                try:
                    self._cycle.begin(streams, self._reader.copying.batches, origin.timeline)
                except SourceError as error:
                    if isinstance(error, SourceUnavailable) or not self._reader.rolls_back_to_savepoint():
                        raise
                    unreadable |= {stream.name: error for stream in streams}
            yield
            with self._reader.translating():
                if not any(stream.name in unreadable for stream in streams):
                    self._cycle.finish()
        finally:
            self._cycle.close()
