"""The watermarks, in table `processor_metadata` of the database that STATE_DSN names, and the lock on each stream.

A watermark is moved by compare-and-set on the connection that holds the stream's lock: who has lost the connection
has lost the lock, and cannot move anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any

import psycopg

from adventure.connect import connect_postgres, translating_postgres
from adventure.errors import AlreadyRunning
from adventure.settings import Settings
from adventure.stage.manifest import Window, utc_now
from adventure.streams import Stream

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

_MOVE = """
insert into processor_metadata as m (stream, watermark, window_id, run_id, horizon, mode)
values (%(stream)s, %(high)s, %(window_id)s, %(run_id)s, %(horizon)s, %(mode)s)
on conflict (stream) do update set
    watermark = excluded.watermark,
    window_id = excluded.window_id,
    run_id = excluded.run_id,
    horizon = excluded.horizon,
    mode = excluded.mode,
    updated_at = now() at time zone 'utc'
where m.watermark = %(low)s
"""


@dataclass(frozen=True)
class Watermark:
    """How far one stream is. Timestamps are naive UTC."""

    stream: str
    value: datetime
    """Every row below it was read."""
    horizon: datetime
    """The source's horizon when the watermark moved last."""
    mode: str
    """`horizon`, or `lookback` with the reason."""
    updated_at: datetime


def read_watermarks(settings: Settings) -> dict[str, Watermark]:
    """The watermarks by stream, without taking a lock; a stream that was never read has none.

    Raises:
        SourceError: the state database does not answer, or refuses.
    """
    conninfo = settings.state_conninfo
    connection = connect_postgres(conninfo, name=_NAME, autocommit=True)
    with connection, translating_postgres(conninfo, _NAME):
        if connection.execute("select to_regclass('processor_metadata')").fetchone() == (None,):
            return {}
        return _read(connection)


class State:
    """The locked watermarks of these streams, for as long as it is open.

    Raises:
        AlreadyRunning: another processor holds one of the streams.
        SourceError: the state database does not answer, or refuses.
    """

    def __init__(self, settings: Settings, streams: Sequence[Stream]) -> None:
        self._conninfo = settings.state_conninfo
        self._connection = connect_postgres(self._conninfo, name=_NAME, autocommit=True)
        try:
            with translating_postgres(self._conninfo, _NAME):
                if self._connection.execute("select to_regclass('processor_metadata')").fetchone() == (None,):
                    self._connection.execute(_CREATE)
                for stream in streams:
                    self._lock(stream)
                self.watermarks = _read(self._connection)
        except BaseException:
            self.close()
            raise

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
        }
        with translating_postgres(self._conninfo, _NAME):
            moved = self._connection.execute(_MOVE, values).rowcount
        if moved != 1:
            raise AlreadyRunning(
                f"The watermark of {window.stream} was moved by somebody else",
                "See that one processor alone runs on this stream, and start it again",
            )
        self.watermarks[window.stream] = Watermark(window.stream, window.high, window.horizon, window.mode, utc_now())

    def close(self) -> None:
        """Ends the connection and with it the locks."""
        self._connection.close()

    def _lock(self, stream: Stream) -> None:
        taken = self._connection.execute(
            "select pg_try_advisory_lock(hashtextextended('adventure:' || %s, 0))", [stream.name]
        ).fetchone()
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
    rows = connection.execute("select stream, watermark, horizon, mode, updated_at from processor_metadata").fetchall()
    return {row[0]: Watermark(*row) for row in rows}
