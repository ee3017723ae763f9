"""Decide in each cycle which streams are read by the log, read it, and advance the slot when all of it is staged.

A stream begins by a handover: the slot exists, and then one window reads the table by its cursor, without an upper end.
From the next cycle on it follows the log. A stream whose slot or publication is another one than before begins again.
The slot advances only over changes that are staged, with their watermarks, for every stream that reads it.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pyarrow as pa

from adventure.core.errors import SourceError
from adventure.core.log import get_logger
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.sources.postgres.log.access import Connection, LogAccess
from adventure.sources.postgres.log.changes import LogTable, Snapshot, read_log
from adventure.sources.postgres.log.keys import Keys
from adventure.sources.postgres.log.slot import (
    Slot,
    advance_slot,
    create_slot,
    drop_slot,
    find_slots,
    peek_query,
    slot_prefix,
)

CHANGES_A_CYCLE = 500_000
"""After so many messages a cycle reads no further transaction. The rest follows in the next cycle."""

_AGAIN_SECONDS = 60.0
"""The time after which to try again to create a slot."""

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

_POSITION = re.compile(r"\blog=([a-z0-9_]+)/(\d+)/(\S*)")

log = get_logger()

Batches = Callable[[str], AbstractContextManager[Iterator[pa.RecordBatch]]]


@dataclass(frozen=True)
class LogPosition:
    """How far a stream was read from which slot; a part of its watermark's position."""

    slot: str
    lsn: int
    stamp: str
    """See `LogAccess.stamps`."""

    def to_text(self) -> str:
        """Return the text without spaces."""
        return f"log={self.slot}/{self.lsn}/{self.stamp}"

    @classmethod
    def of(cls, mark: Watermark | None) -> "LogPosition | None":
        """Parse the watermark's position; None if the stream was not read by the log last."""
        found = _POSITION.search(mark.position or "") if mark else None
        return cls(found[1], int(found[2]), found[3]) if found else None


@dataclass
class LogReader:
    """What the source remembers of its log from cycle to cycle."""

    settings: Settings
    positions: dict[str, LogPosition] = field(default_factory=dict)
    """How far each stream was read; newer than its watermark while nothing changes."""
    unusable: set[str] = field(default_factory=set)
    """Slots that cannot be read any more."""
    no_slot: str = ""
    """Why there is no slot."""
    again_at: float = 0.0
    read_to: int = 0
    """How far the log was read without a change for any stream that follows it."""
    warned: set[str] = field(default_factory=set)

    def warn_once(self, sentence: str, stream: str | None = None) -> None:
        """Log a warning the first time."""
        if sentence not in self.warned:
            self.warned.add(sentence)
            log.warning(sentence, stream=stream)


@dataclass
class LogCycle:
    """One cycle: `begin` takes the snapshot and reads the log; `finish` advances the slot."""

    reader: LogReader
    streams: Sequence[Stream]
    """The streams that can be planned."""
    marks: Mapping[str, Watermark]
    access: LogAccess
    asking: Connection
    batches: Batches
    """Runs a query in the snapshot."""
    folder: Path
    timeline: int | None
    begun: bool = False
    slot: Slot | None = None
    followed: dict[str, LogTable] = field(default_factory=dict)
    """Streams that are read by the keys in the log."""
    handovers: dict[str, str] = field(default_factory=dict)
    """Streams that are read by their cursor once more, with the reason; empty if it is the first time."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why the others are not read by the log."""
    end: int = 0
    """How far the log is read in this cycle."""
    is_complete: bool = True
    """Whether all changes that the snapshot sees were in the log that was read."""
    confirmed: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Choose the slot, take the snapshot, and read the log.

        Raises:
            psycopg.Error: the server failed.
            SourceError: the log cannot be read now.
        """
        self.begun = True
        wanted = self._wanted()
        self.slot = self._choose_slot() if wanted else None
        if wanted and self.slot is None:
            self.reasons |= dict.fromkeys((stream.name for stream in wanted), self.reader.no_slot)
        if not wanted:
            self._drop(keep=None)
        for name in self.reasons:
            self.reader.positions.pop(name, None)
        if self.slot is None:
            return
        snapshot, flushed, written = self._take_snapshot()
        self._divide(wanted, self.slot)
        self.end = max(self.slot.confirmed, self.reader.read_to)
        if self.followed and flushed > self.end:
            self._read(self.slot, snapshot, flushed)
        self.is_complete = self.is_complete and written <= max(flushed, self.end)

    def position(self, stream: str) -> LogPosition:
        """Return how far the stream is read with this window."""
        assert self.slot
        follows = stream in self.followed or self.handovers.get(stream, "").startswith("the log lacks")
        return LogPosition(self.slot.name, self.end if follows else self.slot.confirmed, self.access.stamps[stream])

    def confirm(self, stream: str) -> None:
        """Note that the stream's window and its watermark are durable, or that it has nothing new."""
        if stream in self.followed or stream in self.handovers:
            self.reader.positions[stream] = self.position(stream)
            self.confirmed.add(stream)

    def finish(self) -> None:
        """Advance the slot over what is staged for every stream.

        Raises:
            psycopg.Error: the server failed.
        """
        for table in self.followed.values():
            table.keys.close()
        if self.slot is None:
            return
        present = {stream.name for stream in self.streams}
        positions = [
            self.reader.positions[name].lsn if name in self.confirmed else self.slot.confirmed
            for name in (*self.followed, *self.handovers)
        ]
        others = (LogPosition.of(mark) for name, mark in self.marks.items() if name not in present)
        positions += [other.lsn for other in others if other and other.slot == self.slot.name]
        target = min(positions, default=0)
        found_any = any(table.keys or table.truncated_at for table in self.followed.values())
        self.reader.read_to = 0 if found_any or target < self.end else self.end
        if target > self.slot.confirmed + (0 if found_any else _ADVANCE_BYTES):
            advance_slot(self.asking, self.slot.name, target)

    def _wanted(self) -> list[Stream]:
        """Return the streams to read by the log. Streams that refer to each other are all read by it, or none."""
        for stream in self.streams:
            if stream.mode not in (None, "log"):
                self.reasons[stream.name] = f"mode is {stream.mode}"
            elif stream.name in self.access.reasons:
                self.reasons[stream.name] = self.access.reasons[stream.name]
        changed = True
        while changed:
            changed = False
            for stream in self.streams:
                for parent in stream.references:
                    for name, other in ((stream.name, parent), (parent, stream.name)):
                        if other in self.reasons and name not in self.reasons:
                            self.reasons[name] = f"{other}, which is tied to it, is not: {self.reasons[other]}"
                            changed = True
        return [stream for stream in self.streams if stream.name not in self.reasons]

    def _choose_slot(self) -> Slot | None:
        """Return the slot that the watermarks name, else another one of ours, else a new one."""
        named = {position.slot for mark in self.marks.values() if (position := LogPosition.of(mark))}
        named |= {position.slot for position in self.reader.positions.values()}
        prefix = slot_prefix(self.reader.settings)
        slots = find_slots(self.asking, prefix, named)
        usable = [slot for slot in slots if not slot.is_lost and slot.name not in self.reader.unusable]
        for slot in slots:
            if slot not in usable:
                self.reader.warn_once(
                    f"postgres: the replication slot {slot.name} is lost ({slot.status or 'it cannot be read'}): its"
                    " streams are read by their cursors once, and then from a new slot. Run"
                    " `adventure reconcile --repair` for deletes and for updates that left the cursor as it was"
                )
        chosen = next((slot for slot in usable if slot.name in named), next(iter(usable), None))
        if chosen is None and time.monotonic() >= self.reader.again_at:
            try:
                chosen = create_slot(self.asking, prefix)
            except psycopg.Error as error:
                if self.asking.closed:
                    raise
                said = error.diag.message_primary or str(error)
                if isinstance(error, psycopg.errors.QueryCanceled):
                    said = "a transaction that was open before it has not ended"
                self.reader.no_slot = f"no replication slot can be created: {said}"
                self.reader.again_at = time.monotonic() + _AGAIN_SECONDS
                self.reader.warn_once(f"postgres: {self.reader.no_slot}; the tables are read by their cursors")
            else:
                log.info(f"postgres: created the replication slot {chosen.name}")
        self._drop(keep=chosen.name if chosen else None)
        return chosen

    def _drop(self, keep: str | None) -> None:
        """Drop our other slots, which would keep the server's log for nobody."""
        here = {stream.name for stream in self.streams}
        others = (LogPosition.of(mark) for name, mark in self.marks.items() if name not in here)
        needed = {other.slot for other in others if other} | {keep}
        for slot in find_slots(self.asking, slot_prefix(self.reader.settings)):
            unusable = slot.is_lost or slot.name in self.reader.unusable
            if slot.active_pid is None and (unusable or slot.name not in needed):
                try:
                    drop_slot(self.asking, slot.name)
                except psycopg.Error as error:
                    if self.asking.closed:
                        raise
                    said = error.diag.message_primary or str(error)
                    self.reader.warn_once(
                        f"postgres: the replication slot {slot.name} is not used, keeps the server's log, and cannot be"
                        f" dropped: {said}. Run as a superuser: select pg_drop_replication_slot('{slot.name}')"
                    )
                else:
                    log.info(f"postgres: dropped the replication slot {slot.name}")

    def _take_snapshot(self) -> tuple[Snapshot, int, int]:
        with self.batches(_SNAPSHOT) as batches:
            ((text, flushed, written),) = [
                row for batch in batches for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)
            ]
        return Snapshot.parse(text), flushed, written

    def _divide(self, wanted: Sequence[Stream], slot: Slot) -> None:
        """Decide which streams follow the log, and which are handed over to it."""
        for stream in wanted:
            mark = self.marks.get(stream.name)
            position = self.reader.positions.get(stream.name) or LogPosition.of(mark)
            if position is None:
                self.handovers[stream.name] = ""
            elif position.slot != slot.name:
                self.handovers[stream.name] = f"the slot {position.slot} is lost"
            elif position.stamp != self.access.stamps[stream.name]:
                self.handovers[stream.name] = "the publication was changed"
        families = _families(wanted)
        for family in families:
            if self.handovers.keys() & family:
                self.handovers |= {name: self.handovers.get(name, "") for name in family}
        for stream in wanted:
            if stream.name in self.handovers:
                self.reader.positions.pop(stream.name, None)
                continue
            mark = self.marks.get(stream.name)
            position = self.reader.positions.get(stream.name) or LogPosition.of(mark)
            assert position
            # After a failover, positions of the old server say nothing. The slot itself moved with the log.
            same_log = mark is None or None in (mark.origin.timeline, self.timeline)
            same_log = same_log or (mark is not None and mark.origin.timeline == self.timeline)
            start = position.lsn if same_log else 0
            self.followed[stream.name] = LogTable(stream.name, stream.key, start, Keys(self.folder))

    def _read(self, slot: Slot, snapshot: Snapshot, flushed: int) -> None:
        """Read the log from the slot's position, and collect the keys for each stream that follows it."""
        tables: dict[tuple[str, str], list[LogTable]] = {}
        for stream in self.streams:
            if stream.name in self.followed:
                tables.setdefault((stream.namespace, stream.table), []).append(self.followed[stream.name])
        query = peek_query(slot.name, self.reader.settings.postgres_publication, CHANGES_A_CYCLE)
        try:
            with self.batches(query) as batches:
                messages = (message for batch in batches for message in batch.column(0).to_pylist())
                read = read_log(messages, snapshot, tables)
        except SourceError as error:
            if getattr(error.__cause__, "sqlstate", None) in _UNUSABLE:
                self.reader.unusable.add(slot.name)
            raise
        more = read.messages >= CHANGES_A_CYCLE
        self.is_complete = not (read.is_cut or more)
        self.end = max(slot.confirmed, read.end or 0, flushed if self.is_complete else 0)
        for name, table in list(self.followed.items()):
            if table.incomplete:
                self.handovers[name] = table.incomplete
                self.followed.pop(name).keys.close()


def _families(streams: Iterable[Stream]) -> list[set[str]]:
    """Return the names of streams that refer to each other, directly or through others."""
    families: list[set[str]] = []
    for stream in streams:
        joined = {stream.name, *stream.references}
        for family in [family for family in families if family & joined]:
            joined |= family
            families.remove(family)
        families.append(joined)
    return families
