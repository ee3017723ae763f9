"""The watermarks, in table `processor_metadata` of the database that STATE_DSN names, and the lock on each stream.

A watermark is moved by compare-and-set on the connection that holds the stream's lock: who has lost the connection
has lost the lock, and cannot move anything.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, LiteralString

import psycopg
from psycopg.conninfo import make_conninfo

from adventure.core.clock import utc_now
from adventure.core.connect import PROBE_CLIENT, connect_postgres, translating_postgres
from adventure.core.errors import AlreadyRunning
from adventure.core.manifest import Window
from adventure.core.pooler import require_own_session
from adventure.core.session import set_plain_session
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark

_NAME = "the state database"

_CREATE = """
create table if not exists processor_metadata (
    stream text primary key,
    watermark timestamp not null,
    window_id text not null,
    run_id text not null,
    horizon timestamp not null,
    mode text not null,
    updated_at timestamp not null default (now() at time zone 'utc')
)
"""

# A table that an earlier version made lacks it.
_ADD_POSITION = "alter table processor_metadata add column if not exists position text"

_MOVE = """
insert into processor_metadata as m (stream, watermark, window_id, run_id, horizon, mode, position)
values (%(stream)s, %(high)s, %(window_id)s, %(run_id)s, %(horizon)s, %(mode)s, %(position)s)
on conflict (stream) do update set
    watermark = excluded.watermark,
    window_id = excluded.window_id,
    run_id = excluded.run_id,
    horizon = excluded.horizon,
    mode = excluded.mode,
    position = excluded.position,
    updated_at = now() at time zone 'utc'
where m.watermark = %(low)s
"""

_KEEP = """
update processor_metadata set mode = %(mode)s, position = %(position)s
where stream = %(stream)s and watermark = %(watermark)s and position is not distinct from %(before)s
"""

_LOCK = "select pg_try_advisory_lock(hashtextextended(%s, 0))"

_LOCK_TABLE = "select pg_advisory_xact_lock(hashtextextended('adventure processor_metadata', 0))"

KEEP_SECONDS = 60.0
"""How old the position of a stream without new rows may become in the table."""


def _connect(conninfo: str, *, silence: float | None = None) -> psycopg.Connection[tuple[Any, ...]]:
    """A session of our own, in which a lock stays, and which no setting of the role ends or makes read-only."""
    connection = connect_postgres(conninfo, name=_NAME, autocommit=True, silence=silence)
    try:
        require_own_session(connection, conninfo, _NAME, setting="STATE_DSN")
        with translating_postgres(conninfo, _NAME):
            set_plain_session(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _conninfo(settings: Settings) -> str:
    """In a database of encoding SQL_ASCII text would come as bytes, which are no stream's name."""
    return make_conninfo(settings.state_conninfo, client_encoding="UTF8")


def read_watermarks(settings: Settings) -> dict[str, Watermark]:
    """The watermarks by stream, without taking a lock; a stream that was never read has none.

    Raises:
        SourceError: the state database does not answer, or refuses.
    """
    conninfo = _conninfo(settings)
    connection = _connect(conninfo)
    with connection, translating_postgres(conninfo, _NAME):
        if connection.execute("select to_regclass('processor_metadata')").fetchone() == (None,):
            return {}
        return _read(connection)


@contextmanager
def repairing(settings: Settings, stream: Stream) -> Iterator[None]:
    """While open, no processor that starts discards what is being staged for the stream, and nobody else repairs it.

    Raises:
        AlreadyRunning: somebody else repairs it.
        SourceError: the state database does not answer, or refuses.
    """
    conninfo = _conninfo(settings)
    connection = _connect(conninfo)
    with connection:
        with translating_postgres(conninfo, _NAME):
            taken = connection.execute(_LOCK, [f"adventure:repair:{stream.name}"]).fetchone()
        if taken != (True,):
            raise AlreadyRunning(f"Another repair of the stream {stream.name} is under way", "Wait for its end")
        yield


class State:
    """The locked watermarks of these streams, for as long as it is open.

    Raises:
        AlreadyRunning: another processor holds one of the streams.
        SourceError: the state database does not answer, or refuses.
    """

    def __init__(self, settings: Settings, streams: Sequence[Stream]) -> None:
        self._conninfo = _conninfo(settings)
        self._connection = _connect(self._conninfo, silence=settings.silence_sec)
        try:
            with translating_postgres(self._conninfo, _NAME):
                self._connection.execute(PROBE_CLIENT)
                self._prepare_table()
                for stream in streams:
                    self._lock(stream)
                self.watermarks = _read(self._connection)
        except BaseException:
            self.close()
            raise
        self._kept_at: dict[str, float] = {}

    def move(self, window: Window) -> None:
        """Moves the stream's watermark from the window's low to its high, or not at all.

        Raises:
            AlreadyRunning: it no longer stands where this processor left it.
            SourceError: the connection, and with it the lock, is gone.
        """
        values = {
            "stream": window.stream,
            "low": window.low,
            "high": window.high,
            "window_id": window.id,
            "run_id": window.run_id,
            "horizon": window.horizon,
            "mode": window.mode,
            "position": window.position,
        }
        self._set(window.stream, _MOVE, values)
        self.watermarks[window.stream] = Watermark(
            window.stream, window.high, window.horizon, window.mode, utc_now(), window.position
        )

    def keep(self, stream: Stream, mode: str, position: str | None) -> None:
        """Notes how a stream without new rows is read, when that changes, and where it reads on, once a minute.

        A position that stayed where it is while nothing happens would fall off the source's log; one that was written
        in every cycle would cost more than the cycle.

        Raises:
            AlreadyRunning: the watermark no longer stands where this processor left it.
            SourceError: the connection, and with it the lock, is gone.
        """
        mark = self.watermarks.get(stream.name)
        if mark is None or (mode, position) == (mark.mode, mark.position):
            return
        kept_at = self._kept_at.get(stream.name)
        if mode == mark.mode and kept_at is not None and time.monotonic() < kept_at + KEEP_SECONDS:
            return
        values = {
            "stream": stream.name,
            "mode": mode,
            "position": position,
            "watermark": mark.value,
            "before": mark.position,
        }
        self._set(stream.name, _KEEP, values)
        self.watermarks[stream.name] = replace(mark, mode=mode, position=position)

    @contextmanager
    def undisturbed(self, stream: Stream) -> Iterator[bool]:
        """Whether nobody repairs the stream; while open, nobody begins to."""
        name = [f"adventure:repair:{stream.name}"]
        with translating_postgres(self._conninfo, _NAME):
            alone = self._connection.execute(_LOCK, name).fetchone() == (True,)
        try:
            yield alone
        finally:
            if alone:
                with translating_postgres(self._conninfo, _NAME):
                    self._connection.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", name)

    def close(self) -> None:
        """Ends the connection and with it the locks."""
        self._connection.close()

    def _set(self, stream: str, statement: LiteralString, values: dict[str, Any]) -> None:
        """Compare-and-set of the stream's row."""
        with translating_postgres(self._conninfo, _NAME):
            changed = self._connection.execute(statement, values).rowcount
        if changed != 1:
            raise AlreadyRunning(
                f"The watermark of {stream} was moved by somebody else",
                "See that one processor alone runs on this stream, and start it again",
            )
        self._kept_at[stream] = time.monotonic()

    def _prepare_table(self) -> None:
        """Makes the table where it is missing, with all of its columns; a role that need not create is not asked to."""
        with self._connection.transaction():
            # Of two that first start at the same moment, one would find the other's table half made.
            self._connection.execute(_LOCK_TABLE)
            found = self._connection.execute(
                "select attname from pg_attribute where attrelid = to_regclass('processor_metadata')"
            ).fetchall()
            if not found:
                self._connection.execute(_CREATE)
            if ("position",) not in found:
                self._connection.execute(_ADD_POSITION)

    def _lock(self, stream: Stream) -> None:
        taken = self._connection.execute(_LOCK, [f"adventure:{stream.name}"]).fetchone()
        if taken != (True,):
            raise AlreadyRunning(
                f"Another processor works on the stream {stream.name}",
                "End it first; in the state database, pg_locks shows its session (locktype advisory)",
            )

    def __enter__(self) -> "State":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read(connection: psycopg.Connection[tuple[Any, ...]]) -> dict[str, Watermark]:
    # Through JSON, where a column that an earlier version's table lacks is NULL: who only reads does not change tables.
    rows = connection.execute(
        "select stream, watermark, horizon, mode, updated_at, to_jsonb(m) ->> 'position' from processor_metadata as m"
    ).fetchall()
    return {row[0]: Watermark(*row) for row in rows}
