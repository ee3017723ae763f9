"""Which rows of a table the last snapshot staged: key and row hash, in the state database.

Each row of `adventure_snapshot_rows` is one version of a key, valid for a range of generations. The position of the
watermark names the generation that its windows staged. A generation is written before its window is staged, and becomes
valid when the watermark moves, so that a processor that is killed in between finds what the last window staged.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from adventure.core.connect import connect_postgres, translating_postgres
from adventure.core.errors import AlreadyRunning
from adventure.core.session import set_plain_session
from adventure.core.settings import Settings
from adventure.core.streams import Stream

_NAME = "the state database"
_BATCH = 5_000

_CREATE = """
create table if not exists adventure_snapshot_rows (
    stream text not null,
    key text not null,
    hash text not null,
    since bigint not null,
    until bigint
)
"""
_INDEX = "create index if not exists adventure_snapshot_rows_key on adventure_snapshot_rows (stream, key)"

_LOCK = "select pg_try_advisory_lock(hashtextextended(%s, 0))"

# What a generation wrote that no watermark names: its window was not staged.
_FORGET = "delete from adventure_snapshot_rows where stream = %s and since > %s"
_RESTORE = "update adventure_snapshot_rows set until = null where stream = %s and until > %s"
_CLEAN = "delete from adventure_snapshot_rows where stream = %s and until <= %s"

_NOW = """
create temporary table if not exists adventure_now (key text not null, hash text not null)
"""

# Without a position, rows may have been staged in any generation: each is read again, and the hash of none is known.
_CHANGED = """
create temporary table adventure_changed as
select key, now.hash, held.key is not null as is_held, now.key is not null as is_present
from adventure_now as now
full join (
    select distinct on (key) key, case when %(is_known)s then hash end as hash
    from adventure_snapshot_rows where stream = %(stream)s and (until is null or not %(is_known)s)
) as held using (key)
where now.key is null or held.hash is distinct from now.hash
"""

# Without a position, all rows are staged again. Deleted ones stay known until their deletion is staged.
_START = """
delete from adventure_snapshot_rows as r using adventure_now as n where r.stream = %(stream)s and r.key = n.key
"""
_KEEP = "update adventure_snapshot_rows set since = 0, until = 1 where stream = %(stream)s"

_END = """
update adventure_snapshot_rows as r set until = %(next)s
from adventure_changed as c where r.stream = %(stream)s and r.key = c.key and r.until is null and c.is_held
"""
_BEGIN = """
insert into adventure_snapshot_rows (stream, key, hash, since)
select %(stream)s, key, hash, %(next)s from adventure_changed where is_present
"""


@dataclass(frozen=True)
class Changes:
    """How a table differs from what was staged."""

    connection: "psycopg.Connection[tuple[Any, ...]]"
    rows: int
    """Rows of the table."""
    changed: int
    """New and changed rows."""
    deleted: int
    repeated: str | None
    """A key that more than one row has; None if there is none."""
    position: str
    """The position of a watermark whose window staged these changes."""

    def keys(self, *, present: bool) -> Iterator[list[str]]:
        """Yield the keys of new and changed rows, or of deleted rows, in batches."""
        with self.connection.transaction(), self.connection.cursor("changes") as cursor:
            cursor.execute("select key from adventure_changed where is_present = %s order by key", [present])
            while batch := cursor.fetchmany(_BATCH):
                yield [key for (key,) in batch]


class Baseline:
    """The baselines of one source's streams, with a connection of its own.

    Raises:
        SourceError: from every method; the state database failed.
    """

    def __init__(self, settings: Settings) -> None:
        self._conninfo = settings.state_conninfo
        self._connection = connect_postgres(self._conninfo, name=_NAME, autocommit=True, silence=settings.silence_sec)
        self._locked: set[str] = set()
        try:
            with translating_postgres(self._conninfo, _NAME):
                set_plain_session(self._connection)
                self._connection.execute("set client_encoding = 'UTF8'")
                for statement in (_CREATE, _INDEX, _NOW):
                    self._connection.execute(statement)
        except BaseException:
            self.close()
            raise

    @property
    def is_lost(self) -> bool:
        """Whether the connection is lost, and the locks with it."""
        return self._connection.closed

    def close(self) -> None:
        """Close the connection, which releases the locks."""
        self._connection.close()

    def compare(self, stream: Stream, position: str | None, rows: Iterable[Sequence[tuple[str, str]]]) -> Changes:
        """Compare the table's keys and hashes with what was staged up to this position, and keep them for the next.

        Args:
            rows: key and hash of each row, in batches.

        Raises:
            AlreadyRunning: another processor compares this stream.
        """
        self._lock(stream)
        with translating_postgres(self._conninfo, _NAME):
            self._copy(rows)
            generation = int(position) if position else 0
            values = {"stream": stream.name, "is_known": position is not None, "next": generation + 1}
            if position is not None:
                self._connection.execute(_FORGET, [stream.name, generation])
                self._connection.execute(_RESTORE, [stream.name, generation])
                self._connection.execute(_CLEAN, [stream.name, generation])
            self._connection.execute("drop table if exists adventure_changed")
            self._connection.execute(_CHANGED, values)
            counted = self._connection.execute(
                "select count(*) filter (where is_present), count(*) filter (where not is_present),"
                " (select count(*) from adventure_now) from adventure_changed"
            ).fetchone()
            assert counted
            changed, deleted, count = counted
            repeated = self._connection.execute(
                "select min(key) from (select key from adventure_now group by key having count(*) > 1 limit 1) as found"
            ).fetchone()
            if (changed or deleted) and repeated == (None,):
                with self._connection.transaction():
                    if position is None:
                        self._connection.execute(_START, values)
                        self._connection.execute(_KEEP, values)
                    else:
                        self._connection.execute(_END, values)
                    self._connection.execute(_BEGIN, values)
            return Changes(
                self._connection, count, changed, deleted, repeated[0] if repeated else None, str(generation + 1)
            )

    def _copy(self, rows: Iterable[Sequence[tuple[str, str]]]) -> None:
        self._connection.execute("truncate adventure_now")
        with (
            self._connection.cursor() as cursor,
            cursor.copy("copy adventure_now (key, hash) from stdin") as copy,
        ):
            for batch in rows:
                for row in batch:
                    copy.write_row(row)
        self._connection.execute("analyze adventure_now")

    def _lock(self, stream: Stream) -> None:
        """A processor that lost its state's connection must not write beside the one that replaced it."""
        if stream.name in self._locked:
            return
        with translating_postgres(self._conninfo, _NAME):
            taken = self._connection.execute(_LOCK, [f"adventure:snapshot:{stream.name}"]).fetchone()
        if taken != (True,):
            raise AlreadyRunning(f"Another processor compares the table of the stream {stream.name}", "Stop it first")
        self._locked.add(stream.name)
