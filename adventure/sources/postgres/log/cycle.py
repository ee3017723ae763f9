"""Read the log once in each cycle, and advance the slot when all that was read is staged.

A stream begins with all rows of its table: the slot exists before the snapshot that reads them. From the next cycle on
it follows the log. It begins again if the slot or the publication is another one than before, or if its table was
truncated. The slot advances only over changes that are staged, with their watermarks, for every stream that reads it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import pyarrow as pa

from adventure.core.errors import SourceError
from adventure.core.log import get_logger
from adventure.core.streams import LOG, Stream
from adventure.core.watermark import Watermark
from adventure.sources.postgres.log.access import Connection, LogAccess, chosen, read_access
from adventure.sources.postgres.log.changes import LogTable, ReadLog, Snapshot, read_log
from adventure.sources.postgres.log.keys import Keys
from adventure.sources.postgres.log.position import LogPosition, slots_of
from adventure.sources.postgres.log.reader import LogReader
from adventure.sources.postgres.log.slot import (
    Slot,
    advance_slot,
    peek_query,
)
from adventure.sources.postgres.relations import Relation

CHANGES_A_CYCLE = 500_000
"""After so many messages a cycle reads no further transaction. The rest follows in the next cycle."""

_ADVANCE_BYTES = 1 << 20
"""How much log without changes of ours to pass before the slot is advanced over it."""

_UNUSABLE = ("55000", "42704", "58P01")
"""SQLSTATEs of a slot that was invalidated or dropped, or whose log or publication does not exist any more."""

_SNAPSHOT = """
select
    pg_current_snapshot()::text as snapshot,
    (pg_current_wal_flush_lsn() - '0/0')::bigint as flushed,
    (pg_current_wal_insert_lsn() - '0/0')::bigint as written
"""

_LOCKED = SourceError(
    "Another processor of this pipeline reads the log of this source",
    "Run one processor for all streams that are read by the log of one source",
)

log = get_logger()

Batches = Callable[[str], AbstractContextManager[Iterator[pa.RecordBatch]]]


@dataclass
class LogCycle:
    """One cycle of the streams that are read by the log.

    `prepare` chooses the slot, `begin` takes the snapshot and reads the log, `finish` advances the slot.
    """

    reader: LogReader
    marks: Mapping[str, Watermark]
    asking: Connection
    access: LogAccess = field(default_factory=lambda: LogAccess({}))
    unreadable: dict[str, SourceError] = field(default_factory=dict)
    whole: dict[str, str] = field(default_factory=dict)
    """Streams that may be read by the log or whole, and are read whole in this cycle, with the reason."""
    slot: Slot | None = None
    streams: set[str] = field(default_factory=set)
    """Streams that are read from the slot."""
    followed: dict[str, LogTable] = field(default_factory=dict)
    """Streams that are read by the keys in the log."""
    handovers: dict[str, str] = field(default_factory=dict)
    """Streams whose whole table is read, with the reason."""
    new_parts: dict[str, frozenset[str]] = field(default_factory=dict)
    """By stream: partitions that were attached since its last window."""
    end: int = 0
    """How far the log is read in this cycle."""
    done: set[str] = field(default_factory=set)
    """Streams whose changes of this cycle are staged."""

    def prepare(self, every: Sequence[Stream], relations: Mapping[str, Relation]) -> None:
        """Find out which streams can be read by the log, and choose or create the slot before a snapshot is taken.

        Args:
            every: all streams that can be read, in any mode.

        Raises:
            psycopg.Error: the server failed.
        """
        streams = [stream for stream in every if stream.is_log or stream.is_auto]
        if not streams:
            if not self.reader.was_cleared:
                names = {stream.name for stream in every}
                self.reader.drop(
                    self.asking, slots_of({name: mark for name, mark in self.marks.items() if name not in names})
                )
                self.reader.was_cleared = True
            return
        if not self.reader.lock(self.asking):
            for stream in streams:
                # It ends soon if it is a processor that was killed. Reading a followed table whole would cost more.
                follows = stream.name in self.marks and self.marks[stream.name].mode.startswith(LOG)
                self._leave(stream, _LOCKED, "another processor reads the log", waits=follows)
            return
        self.access = read_access(self.asking, streams, relations, self.reader.settings.postgres_publication)
        for stream in streams:
            if reason := self.access.reasons.get(stream.name):
                self._leave(stream, reason, self.access.whys[stream.name])
        wanted = [stream for stream in streams if stream.name not in self.access.reasons]
        if not wanted:
            # A slot is kept until the windows that replace it are staged.
            self.reader.drop(self.asking, slots_of(self.marks))
            return
        self.slot = self.reader.choose_slot(self.asking, self.marks)
        if self.slot is None:
            assert self.reader.no_slot
            for stream in wanted:
                self._leave(
                    stream, self.reader.no_slot, self.reader.no_slot.problem.removeprefix(f"{self.reader.label}: ")
                )
            return
        for stream in wanted:
            self._divide(stream, self.slot)
        self.streams = {*self.followed, *self.handovers}

    def _leave(self, stream: Stream, error: SourceError, why: str, *, waits: bool = False) -> None:
        """Read the stream whole in this cycle if it may be, else not at all."""
        if stream.is_auto and not waits:
            self.whole[stream.name] = why
        else:
            self.unreadable[stream.name] = error

    def chosen(self, stream: Stream) -> Stream:
        """Return the stream in the mode in which it is read in this cycle, after `prepare`."""
        return chosen(stream, self.whole.get(stream.name))

    def begin(self, streams: Sequence[Stream], batches: Batches, timeline: int | None) -> None:
        """Take the snapshot, and read the log up to what the snapshot sees.

        Args:
            streams: those that can be planned.
            batches: runs a query in the snapshot.
            timeline: the server's timeline.

        Raises:
            SourceError: the log cannot be read now.
        """
        if self.slot is None:
            return
        snapshot, flushed, written = self._take_snapshot(batches)
        idle = self.reader.idle[1] if self.reader.idle[0] == self.slot.name else 0
        self.end = max(self.slot.confirmed, idle)
        tables: dict[tuple[str, str], list[LogTable]] = {}
        for stream in streams:
            if table := self.followed.get(stream.name):
                # After a failover, positions of the old server say nothing. The slot itself moved with the log.
                mark = self.marks.get(stream.name)
                if mark and None not in (mark.origin.timeline, timeline) and mark.origin.timeline != timeline:
                    table.start = 0
                tables.setdefault((stream.namespace, stream.table), []).append(table)
        if tables and flushed > self.end:
            read = self._read(self.slot, batches, snapshot, flushed, tables)
            self.end = max(self.end, read.end or 0)
            if not read.is_cut and read.messages < CHANGES_A_CYCLE:
                # `flushed` itself may lie within a record, whose transaction would then be skipped.
                self.end = max(self.end, *(at for at in (self.reader.boundary, written) if at <= flushed), 0)
        self.reader.boundary = written
        for name, table in list(self.followed.items()):
            if table.incomplete or table.is_truncated:
                self.handovers[name] = table.incomplete or "it was truncated"
                self.followed.pop(name).keys.close()

    def position(self, stream: str) -> LogPosition:
        """Return how far the stream is read with this window."""
        assert self.slot
        return LogPosition(self.slot.name, self.end, self.access.stamps[stream], self.access.parts[stream])

    def release(self) -> list[str]:
        """Drop the slots that no watermark names; return a sentence about each.

        Raises:
            psycopg.Error: the server failed.
        """
        if not self.reader.lock(self.asking):
            return ["a processor reads the log, and drops a slot that no stream needs when it starts again"]
        return self.reader.drop(self.asking, slots_of(self.marks))

    def added(self, stream: str) -> set[int]:
        """Return the partitions that were attached since the stream's last window, by their oid."""
        return {int(part.partition(".")[0]) for part in self.new_parts[stream]}

    def finish(self) -> None:
        """Advance the slot over what is staged for every stream.

        Raises:
            psycopg.Error: the server failed.
        """
        if self.slot is None:
            return
        target = self.end
        for name, table in self.followed.items():
            if name not in self.done and table.has_changes:
                target = min(target, table.start)
        for name in self.handovers.keys() - self.done:
            # It may have been truncated within what was read, and its rows are read again.
            mark = LogPosition.of(self.marks.get(name))
            target = min(target, mark.lsn if mark and mark.slot == self.slot.name else target)
        others = [LogPosition.of(mark) for name, mark in self.marks.items() if name not in self.streams]
        target = min([target, *(other.lsn for other in others if other and other.slot == self.slot.name)])
        found = any(table.has_changes for table in self.followed.values()) or bool(self.handovers)
        self.reader.idle = ("", 0) if found or target < self.end else (self.slot.name, self.end)
        if target > self.slot.confirmed + (0 if found else _ADVANCE_BYTES):
            advance_slot(self.asking, self.slot.name, target)

    def close(self) -> None:
        """Remove the files of keys."""
        for table in self.followed.values():
            table.keys.close()

    def _take_snapshot(self, batches: Batches) -> tuple[Snapshot, int, int]:
        with batches(_SNAPSHOT) as found:
            ((text, flushed, written),) = [
                row for batch in found for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)
            ]
        return Snapshot.parse(text), flushed, written

    def _divide(self, stream: Stream, slot: Slot) -> None:
        """Decide whether the stream follows the log, or begins with its whole table."""
        mark, parts = self.marks.get(stream.name), self.access.parts[stream.name]
        before = LogPosition.of(mark)
        why = ""
        if before is None:
            why = f"after the mode {mark.mode.partition(',')[0]}" if mark else "first window"
        elif before.slot != slot.name:
            why = f"the slot {before.slot} is lost"
        elif before.stamp != self.access.stamps[stream.name]:
            why = "the publication or the table was changed"
        elif before.parts - parts:
            why = "a partition was detached, truncated or rewritten"
        else:
            self.new_parts[stream.name] = parts - before.parts
            start = max(before.lsn, slot.confirmed)
            self.followed[stream.name] = LogTable(stream.name, stream.key, start, Keys(self.reader.folder))
            return
        self.handovers[stream.name] = why

    def _read(
        self,
        slot: Slot,
        batches: Batches,
        snapshot: Snapshot,
        flushed: int,
        tables: Mapping[tuple[str, str], Sequence[LogTable]],
    ) -> ReadLog:
        """Read the log from the slot's position, and collect the keys for each stream that follows it."""
        query = peek_query(slot.name, self.reader.settings.postgres_publication, flushed, CHANGES_A_CYCLE)
        try:
            with batches(query) as found:
                messages = (message for batch in found for message in batch.column(0).to_pylist())
                return read_log(messages, snapshot, tables)
        except SourceError as error:
            if getattr(error.__cause__, "sqlstate", None) in _UNUSABLE:
                self.reader.unusable.add(slot.name)
                raise SourceError(
                    f"{self.reader.label}: the replication slot {slot.name} cannot be read any more: {error.problem}",
                    "No action is needed: the next cycle creates another one, and reads its tables whole once",
                ) from error
            raise
