"""Read the messages of a slot up to the first transaction that the reading snapshot does not see.

A commit may be in the log and not visible yet: its writer waits for a synchronous standby, or has not left the list of
running transactions. Its rows could not be read, so the window ends before it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from adventure.sources.postgres.log.keys import Keys
from adventure.sources.postgres.log.pgoutput import Begin, Change, Commit, Decoder, Truncate


@dataclass(frozen=True)
class Snapshot:
    """Which transactions a snapshot sees, as `pg_visible_in_snapshot` answers it."""

    xmin: int
    xmax: int
    running: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> "Snapshot":
        """Parse the text of `pg_current_snapshot()`: `xmin:xmax:running,…`."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(int(xid) for xid in running.split(",") if xid))

    def sees(self, xid: int) -> bool:
        """Return whether the changes of a transaction that was committed are visible.

        Args:
            xid: without its epoch, as the log has it. It is within 2^31 of the snapshot's own transactions.
        """
        distance = (xid - self.xmax) & 0xFFFFFFFF
        whole = self.xmax + (distance if distance < 1 << 31 else distance - (1 << 32))
        return whole < self.xmin or (whole < self.xmax and whole not in self.running)


@dataclass
class LogTable:
    """What one window reads of one stream's table."""

    stream: str
    key: Sequence[str]
    start: int
    """Changes that were committed before this position were staged in earlier windows."""
    keys: Keys
    truncated_at: datetime | None = None
    """When the table was emptied last within the window; naive UTC."""
    incomplete: str | None = None
    """Why changes are missing in the log; None if they are not."""

    def add(self, change: Change, at: datetime) -> None:
        """Add the keys of a change."""
        if change.relation.lacks:
            self.incomplete = f"the log lacks {change.relation.lacks}, of its key"
            return
        if change.old is not None:
            self.keys.add(change.old, at)
        if change.new is not None:
            self.keys.add(change.new)


@dataclass
class ReadLog:
    """How far the log was read."""

    end: int | None = None
    """Where the last transaction that was read ends; None if there was none."""
    messages: int = 0
    is_cut: bool = False
    """Whether a transaction follows that the snapshot does not see."""


def read_log(
    messages: Iterable[bytes], snapshot: Snapshot, tables: Mapping[tuple[str, str], Sequence[LogTable]]
) -> ReadLog:
    """Decode the messages, and add the keys to the tables.

    Args:
        tables: by schema and name; several streams may read one table.
    """

    def key_of(namespace: str, name: str) -> Sequence[str] | None:
        found = tables.get((namespace, name))
        # All streams of a table need the same columns, so that one key serves them.
        return found[0].key if found else None

    decoder = Decoder(key_of)
    read = ReadLog()
    begin: Begin | None = None
    for data in messages:
        read.messages += 1
        message = decoder.decode(data)
        if message is None:
            continue
        if isinstance(message, Begin):
            if not snapshot.sees(message.xid):
                read.is_cut = True
                return read
            begin = message
        elif isinstance(message, Commit):
            read.end = message.end_lsn
        elif begin:
            _collect(message, begin, tables)
    return read


def _collect(
    message: Change | Truncate, begin: Begin, tables: Mapping[tuple[str, str], Sequence[LogTable]]
) -> None:
    if isinstance(message, Change):
        for table in tables[message.relation.namespace, message.relation.name]:
            if begin.commit_lsn >= table.start:
                table.add(message, begin.at)
        return
    for relation in message.relations:
        for table in tables[relation.namespace, relation.name]:
            if begin.commit_lsn >= table.start:
                table.truncated_at = begin.at
