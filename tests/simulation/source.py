"""The real PostgreSQL source over the simulated server.

Real: the horizon from the server's answers, the clock watch, the windows' ends, the lookback, the choice of what is
read again, the deduplicator, and the order of the steps. Modelled: the server's answers, and the writer of the files.
"""

import marshal
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pyarrow as pa

from adventure.core.clock import Moment, earlier
from adventure.core.errors import SourceUnavailable
from adventure.core.files import LocalFile, writing
from adventure.core.manifest import Column
from adventure.core.settings import Settings
from adventure.core.spans import micros
from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark
from adventure.core.zones import is_utc, to_local
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.postgres import horizon
from adventure.sources.postgres.clock_steps import unread_below
from adventure.sources.postgres.early_query import EarlyQuery
from adventure.sources.postgres.log.reader import LogReader
from adventure.sources.postgres.memory import Memory
from adventure.sources.postgres.reader import Reader
from adventure.sources.postgres.resolution import Measure, Resolution, lag, lookback
from adventure.sources.postgres.session import USUAL
from adventure.sources.postgres.source import PostgresSource
from adventure.sources.postgres.zone import ZoneWatch
from adventure.sources.side import Version
from tests.simulation.disk import SimulatedPath
from tests.simulation.process import Process, moment
from tests.simulation.server import Row, Server

STREAM = Stream(
    "things",
    "postgres",
    "public",
    "things",
    cursor="changed_at",
    key=("id",),
    stage="things_stage",
    raw_table="raw_ext.things_raw",
)
COLUMNS = (Column("id", "int64"), Column("changed_at", "timestamp[us]"), Column("value", "int64"))
_SETTINGS = Settings()
"""Nothing of a schedule changes them, and making them takes longer than a step."""
STEPS = {"ms": timedelta(milliseconds=1), "s": timedelta(seconds=1)}
"""The steps of the cursor's type; of the other precisions, a microsecond."""

Condition = tuple[Callable[[int, Row], bool], bool]
Batch = list[tuple[int, Row]]

unavailable = partial(psycopg.OperationalError, "the connection was lost")
lost = partial(SourceUnavailable, "the connection was lost")


@dataclass(frozen=True)
class SimulatedPlan:
    """See `adventure.sources.postgres.plan.Plan`: conditions are functions instead of SQL."""

    stream: Stream
    step: timedelta
    by_default: Resolution | None = None
    is_naive: bool = False
    is_date: bool = False
    table: str = "things"
    in_no_window: str = "no row"
    indexed: bool = True
    columns: tuple[Any, ...] = tuple(SimpleNamespace(column=column) for column in COLUMNS)

    def select(self, condition: Callable[[int, Row], bool], *, hashed: bool = False) -> Condition:
        return condition, hashed

    def between(self, low: datetime | None, horizon: datetime, alias: str = "t") -> Callable[[int, Row], bool]:
        if low is None:
            return lambda _, row: row.cursor < horizon
        return lambda _, row: low <= row.cursor < horizon

    def with_keys(self, keys: Sequence[tuple[str, ...]], below: datetime) -> Callable[[int, Row], bool]:
        wanted = {int(key) for (key,) in keys}
        return lambda key, row: key in wanted and row.cursor < below


@dataclass
class FineMeasure:
    """Stands for `Measure` where the values are as fine as their type: it would find nothing."""

    resolution: Resolution | None = None
    news: Resolution | None = None

    def add(self, _: Any) -> None:
        pass


@dataclass
class SimulatedWriter:
    """See `adventure.sources.postgres.writer.RowWriter`: the same rows, without Arrow."""

    plan: SimulatedPlan
    folder: SimulatedPath
    lookback: timedelta
    deduplicator: Deduplicator
    delta: bool
    hashed: bool = False
    known: Resolution | None = None
    last_before: datetime | None = None
    last: datetime | None = None
    rejected: int = 0
    rows: Batch = field(default_factory=list)

    def __post_init__(self) -> None:
        coarse = self.folder.process.world.server.precision in ("trunc", "day")
        self.measure = Measure(self.known, self.plan.step, self.last_before) if coarse else FineMeasure()

    def write(self, batch: Batch) -> None:
        if not batch:
            return
        cursors = [row.cursor for _, row in batch]
        self.measure.add(pa.array(cursors, pa.timestamp("us")))
        self.last = max(cursors) if self.last is None else max(self.last, *cursors)
        if self.lookback:
            floor = earlier(self.last, self.lookback)
            batch = self._only_new(batch, floor)
            self.deduplicator.forget(floor)
        self.rows += batch

    def write_old(self, batch: Batch) -> None:
        self.rows += batch

    def close(self) -> tuple[LocalFile, ...]:
        """Write two files, so that a window can be staged and loaded in part."""
        if not self.rows:
            return ()
        half = (len(self.rows) + 1) // 2
        found = []
        with writing(self.folder):  # type: ignore[arg-type]
            self.folder.mkdir(parents=True, exist_ok=True)
            for number, rows in enumerate(filter(None, (self.rows[:half], self.rows[half:]))):
                path = self.folder / f"part-{number:05d}.parquet"
                path.write_bytes(marshal.dumps([(key, micros(row.cursor), row.value) for key, row in rows]))
                found.append(LocalFile(path, len(rows)))  # type: ignore[arg-type]
        return tuple(found)

    def _only_new(self, batch: Batch, floor: datetime) -> Batch:
        everything = bool(len(self.deduplicator))
        return [
            (key, row)
            for key, row in batch
            if not (everything or row.cursor >= floor)
            or self.deduplicator.is_new(key, row.cursor, row.value if self.hashed else row.cursor)
        ]


class Answer:
    """The result of a statement."""

    def __init__(self, *row: object) -> None:
        self._row = row

    def fetchone(self) -> tuple[object, ...] | None:
        return self._row or None


class AskingConnection:
    """The connection for questions: it answers the horizon's statements by the model of the server."""

    counts_messages = True
    """False in a mutant."""

    def __init__(self, process: Process, server: Server) -> None:
        self._process, self._server = process, server

    def execute(self, statement: Any, values: object = None, *, prepare: bool = False) -> Answer:
        if statement == horizon._CLOCK:
            self._process.effect(unavailable)
            return Answer(self._server.clock())
        if statement == _OLDEST:
            self._process.effect(unavailable)
            oldest = self._server.oldest(counts_messages=self.counts_messages)
            return Answer(oldest, False, False, self._server.working())
        if statement == horizon._REASON:
            self._process.effect(unavailable)
            return Answer(self._server.unknown_reason)
        if statement == "select" or statement.startswith("set lock_timeout"):
            return Answer()
        raise AssertionError(f"the simulated server does not know the statement {statement}")


_OLDEST = horizon._OLDEST.encode()


class CopyingConnection:
    """The connection that extracts. As in PostgreSQL, the first query of the transaction takes the snapshot."""

    snapshot_at_begin = False
    """True in a mutant."""

    def __init__(self, process: Process, server: Server) -> None:
        self._process, self._server = process, server
        self._snapshot: dict[int, Row] | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._process.effect(lost)
        self._snapshot = dict(self._server.rows) if self.snapshot_at_begin else None
        try:
            yield
        finally:
            self._server.locked_by.discard(self._process)
            self._snapshot = None

    def execute(self, statement: str) -> None:
        if statement.startswith("lock table"):
            self._process.effect(lost)
            self._server.locked_by.add(self._process)
        elif not statement.startswith(("savepoint", "rollback to")):
            raise AssertionError(f"the simulated server does not know the statement {statement}")

    def batch(self, condition: Callable[[int, Row], bool]) -> Batch:
        """Return the rows under the condition in the snapshot."""
        self._process.effect(lost)
        if self._snapshot is None:
            self._snapshot = dict(self._server.rows)
        return [(key, row) for key, row in self._snapshot.items() if condition(key, row)]

    def close(self) -> None:
        pass


class Silent:
    """Stands for the warnings and the watch of zones: they write to the log and refuse; they move no row."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


class NamedZone(ZoneWatch):
    """The simulated writers use the zone that the stream names."""

    def check(self, *_: object) -> None:
        """See `ZoneWatch`."""


class SimulatedReader(Reader):
    """The two connections, to the simulated server."""

    def __init__(self, process: Process, server: Server) -> None:
        self.process = process
        self.settings = _SETTINGS
        self.warnings = Silent()  # type: ignore[assignment]
        self.zones = NamedZone("UTC", "default")
        self.asking: Any = AskingConnection(process, server)
        self.copying: Any = CopyingConnection(process, server)
        self.early = EarlyQuery(self.copying)  # type: ignore[arg-type]
        self.utf8, self.copying_pid, self.origin_query = True, 0, ""
        self.conninfo = "host=localhost port=5432 dbname=shop user=reader"
        self.name = USUAL

    delta = True

    @contextmanager
    def batches(self, plan: Any, query: Any) -> Iterator[Iterator[Any]]:
        yield iter((self.copying.batch(query[0]),))

    def value_after(self, plan: Any, rows: int, low: datetime | None, end: datetime) -> datetime | None:
        """See `Plan.value_after`."""
        rows = self.process.world.config.rows_a_window
        if rows >= 1_000_000:
            return None
        cursors = sorted(row.cursor for _, row in self.copying.batch(plan.between(low, end)))
        if len(cursors) <= rows:
            return None
        return next((each for each in cursors[rows:] if each > cursors[0]), None)

    def rejects(self, plan: Any, condition: str) -> Iterator[Any]:
        return iter(())

    def notes(self, plan: Any, *, new: bool) -> dict[str, str]:
        return {}

    def attached(self, plan: Any, relation: Any, mark: Watermark) -> None:
        return None


class SimulatedSource(PostgresSource):
    """The real source on simulated connections."""

    def __init__(self, process: Process, server: Server) -> None:
        self._memory = Memory(_SETTINGS)
        self._reader = SimulatedReader(process, server)
        # No stream is read by the log, and no slot is left.
        self._log = LogReader(_SETTINGS, Path(), was_cleared=True)
        process.effect(lost)

    def close(self) -> None:
        pass


_RELATION = SimpleNamespace(root=SimpleNamespace(readable=True), refused=None, unsure=None, lockable=True, position="1")


def read_relations(_: object, streams: Sequence[Stream]) -> dict[str, Any]:
    """Return a plain table for each stream."""
    return {stream.name: _RELATION for stream in streams}


def plan_stream(connection: AskingConnection, stream: Stream, *, utf8: bool) -> SimulatedPlan:
    """Return the plan of the simulated table."""
    step = STEPS.get(connection._server.precision, timedelta(microseconds=1))
    return SimulatedPlan(stream, step, is_naive=stream.timezone is not None)


def earliest_ahead(connection: AskingConnection, at: datetime, zone: str) -> datetime:
    """See `adventure.sources.postgres.zone.earliest_ahead`, whose rules are the server's."""
    if is_utc(zone):
        return at
    connection._process.effect(unavailable)
    later = at + timedelta(hours=4)
    if to_local(later, zone) - to_local(at, zone) == later - at:
        return to_local(at, zone)
    # Within four hours, the local time is set back at most once, at a whole minute; before and after that it grows.
    minute, offset = at.replace(second=0, microsecond=0), to_local(at, zone) - at

    def is_changed(minutes: int) -> bool:
        each = minute + timedelta(minutes=minutes)
        return to_local(each, zone) - each != offset

    changed = minute + timedelta(minutes=1 + bisect_left(range(1, 241), True, key=is_changed))
    return min(to_local(at, zone), to_local(changed, zone))


def read_origin(connection: AskingConnection, _: str) -> Origin:
    """Return the database, and the end of its log."""
    return Origin("cluster 1", connection._server.lsn, 1)


def own_clocks(world: Any) -> Moment:
    """Return the clocks of the machine that the processor runs on."""
    return Moment(moment(world.true_us), "boot-1", world.true_us / 1e6)


@dataclass(frozen=True)
class SimulatedSide:
    """The source as a side of a comparison."""

    server: Server
    stream: Stream

    def lookback(self, mark: Watermark) -> timedelta:
        """The same as `PostgresSide.lookback`."""
        unknown = mark.mode.startswith("lookback")
        return lookback(self.stream, mark, horizon_unknown=unknown) + unread_below(mark, self.stream.zone)

    def lag(self, mark: Watermark) -> timedelta:
        return lag(mark)

    def lookup(self, keys: Sequence[tuple[str, ...]]) -> list[Version]:
        rows = self.server.rows
        return [(key, micros(rows[int(key)].cursor), None) for (key,) in keys if int(key) in rows]
