"""Read the messages of a slot up to the first transaction that the reading snapshot does not see.

A commit may be in the log and not visible yet: its writer waits for a synchronous standby, or has not left the list of
running transactions. Its rows could not be read, so the window ends before it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

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
    is_truncated: bool = False
    incomplete: str = ""
    """Why changes are missing in the log; empty if they are not."""

    @property
    def has_changes(self) -> bool:
        """Whether there is anything to read or to delete."""
        return bool(self.keys or self.is_truncated or self.incomplete)


@dataclass(frozen=True)
class _Tables:
    """The streams that read one table."""

    columns: tuple[str, ...]
    """The key columns of all of them."""
    streams: tuple[tuple[LogTable, tuple[int, ...] | None], ...]
    """Each stream, with the places of its key among the columns; None if they are all of them, in this order."""

    @classmethod
    def of(cls, tables: Sequence[LogTable]) -> "_Tables":
        columns = tuple(dict.fromkeys(name for table in tables for name in table.key))
        places = ((table, tuple(map(columns.index, table.key))) for table in tables)
        every = tuple(range(len(columns)))
        return cls(columns, tuple((table, None if found == every else found) for table, found in places))

    def add(self, change: Change, commit: int) -> None:
        """Add the keys of a change that was committed at this position."""
        for table, places in self.streams:
            if commit < table.start:
                continue
            if change.relation.lacks:
                table.incomplete = f"the log lacks {change.relation.lacks}, of its key"
                continue
            for key in (change.old, change.new):
                if key:
                    table.keys.add(key if places is None else tuple(key[place] for place in places))

    def truncate(self, commit: int) -> None:
        """Note that the table was emptied."""
        for table, _ in self.streams:
            table.is_truncated = table.is_truncated or commit >= table.start


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
        messages: all of them are taken, since a query that is left early is cancelled, and its transaction with it.
        tables: by schema and name; several streams may read one table.
    """
    by_name = {name: _Tables.of(found) for name, found in tables.items()}

    def key_of(namespace: str, name: str) -> Sequence[str] | None:
        found = by_name.get((namespace, name))
        return found.columns if found else None

    decoder = Decoder(key_of)
    read = ReadLog()
    commit = 0
    for data in messages:
        read.messages += 1
        message = None if read.is_cut else decoder.decode(data)
        if isinstance(message, Change):
            by_name[message.relation.namespace, message.relation.name].add(message, commit)
        elif isinstance(message, Begin):
            commit, read.is_cut = message.commit_lsn, not snapshot.sees(message.xid)
        elif isinstance(message, Commit):
            read.end = message.end_lsn
        elif isinstance(message, Truncate):
            for relation in message.relations:
                by_name[relation.namespace, relation.name].truncate(commit)
    return read
