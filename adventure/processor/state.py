"""The watermarks, in table `adventure_watermarks` of the database that STATE_DSN names, and the lock on each stream.

A watermark is moved by compare-and-set on the connection that holds the stream's lock. A processor that loses the
connection loses the lock with it, so it cannot advance a watermark.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, LiteralString

from adventure.core.clock import utc_now
from adventure.core.connect import PROBE_CLIENT, translating_postgres
from adventure.core.errors import AlreadyRunning, WatermarkMismatch
from adventure.core.manifest import Window
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark
from adventure.processor import state_table
from adventure.processor.state_session import LOCK, NAME, connect, lock_stream, state_conninfo

# Without a row only a first window may be entered: a row that was deleted in the meantime does not come back.
_ADVANCE = """
insert into adventure_watermarks as m
    (stream, watermark, window_id, run_id, horizon, mode, position, owner, origin)
select %(stream)s, %(high)s, %(window_id)s, %(run_id)s, %(horizon)s, %(mode)s, %(position)s, %(owner)s, %(origin)s
where %(low)s::timestamp is null or exists (select from adventure_watermarks where stream = %(stream)s)
on conflict (stream) do update set
    watermark = excluded.watermark,
    window_id = excluded.window_id,
    run_id = excluded.run_id,
    horizon = excluded.horizon,
    mode = excluded.mode,
    position = excluded.position,
    owner = excluded.owner,
    origin = excluded.origin,
    updated_at = now() at time zone 'utc'
where m.watermark is not distinct from %(low)s::timestamp
"""

_SAVE_POSITION = """
update adventure_watermarks set mode = %(mode)s, position = %(position)s, owner = %(owner)s, origin = %(origin)s
where stream = %(stream)s and watermark = %(watermark)s and position is not distinct from %(before)s
"""

_BEGIN = """
insert into adventure_watermarks as m (stream, position) values (%(stream)s, %(position)s)
on conflict (stream) do update set position = excluded.position
where m.watermark is null and m.position is not distinct from %(before)s
"""

_REFUSE = """
update adventure_watermarks set refused = %(refused)s where stream = %(stream)s and watermark = %(watermark)s
"""

_RESET = """
insert into adventure_watermarks as m (stream, watermark, horizon, mode, position, owner, read_from, reset_at)
values (%(stream)s, %(at)s, %(at)s, 'reset', %(position)s, %(owner)s, %(at)s, %(reset_at)s)
on conflict (stream) do update set
    watermark = excluded.watermark,
    window_id = null,
    run_id = null,
    horizon = excluded.horizon,
    mode = excluded.mode,
    position = excluded.position,
    owner = excluded.owner,
    origin = null,
    refused = null,
    read_from = excluded.read_from,
    reset_at = excluded.reset_at,
    updated_at = now() at time zone 'utc'
where m.watermark is not distinct from %(before)s::timestamp
"""

SAVE_POSITION_SEC = 60.0
"""How old the saved position of a stream without new rows may become, in seconds."""


def read_watermarks(settings: Settings, *, brief: bool = False) -> dict[str, Watermark]:
    """Return the watermarks by stream, without taking a lock; a stream that was never read has none.

    Args:
        brief: see `connect_postgres`.

    Raises:
        SourceError: the state database does not answer, or refuses.
    """
    conninfo = state_conninfo(settings)
    connection = connect(conninfo, brief=brief)
    with connection, translating_postgres(conninfo, NAME):
        return state_table.read(connection).watermarks


class State:
    """The locked watermarks of these streams, for as long as it is open.

    Raises:
        AlreadyRunning: another processor holds one of the streams.
        SourceError: the state database does not answer, or refuses.
    """

    def __init__(self, settings: Settings, streams: Sequence[Stream]) -> None:
        self._conninfo = state_conninfo(settings)
        self._connection = connect(self._conninfo, silence=settings.silence_sec)
        try:
            with translating_postgres(self._conninfo, NAME):
                self._connection.execute(PROBE_CLIENT)
                # First the locks: an earlier version may still move the watermarks that are copied.
                for stream in streams:
                    lock_stream(self._connection, stream)
                state_table.prepare(self._connection)
                contents = state_table.read(self._connection)
        except BaseException:
            self.close()
            raise
        self.watermarks, self.resets, self.begun = contents.watermarks, contents.resets, contents.begun
        self._saved_at: dict[str, float] = {}

    def advance(self, window: Window, owner: Mapping[str, str], origin: Origin | None = None) -> None:
        """Advance the stream's watermark from the window's low to its high, or not at all.

        Args:
            owner: what the watermark belongs to.
            origin: the source that the window was read from; None for a window that an interrupted cycle staged.

        Raises:
            AlreadyRunning: another process moved the watermark.
            SourceError: the connection was lost, and the lock with it.
        """
        before = self.watermarks.get(window.stream)
        origin = origin or (before.origin if before else Origin())
        values = {
            "stream": window.stream,
            "low": window.low,
            "high": window.high,
            "window_id": window.id,
            "run_id": window.run_id,
            "horizon": window.horizon,
            "mode": window.mode,
            "position": window.position,
            "owner": json.dumps(dict(owner)),
            "origin": state_table.origin_json(origin),
        }
        self._set(window.stream, _ADVANCE, values)
        self.watermarks[window.stream] = Watermark(
            stream=window.stream,
            value=window.high,
            horizon=window.horizon,
            mode=window.mode,
            updated_at=utc_now(),
            position=window.position,
            window_id=window.id,
            owner=owner,
            origin=origin,
            read_from=before.read_from if before else None,
        )

    def save_position(
        self, stream: Stream, mode: str, position: str | None, owner: Mapping[str, str], origin: Origin
    ) -> None:
        """Save how and from where a stream without new rows is read, when that changes; its position once a minute.

        A resume token that is never saved expires from the source's log. Saving it in every cycle costs more than the
        read. A stream without a watermark has a position once its log is open: what is deleted after that is found,
        even if its first window was loaded and its watermark never saved.

        Raises:
            AlreadyRunning: another process moved the watermark.
            SourceError: the connection was lost, and the lock with it.
        """
        mark = self.watermarks.get(stream.name)
        if mark is None:
            self._save_begun(stream.name, position)
            return
        same_source = (origin.name, origin.timeline) == (mark.origin.name, mark.origin.timeline)
        same = mode == mark.mode and owner == mark.owner and same_source
        if same and (position == mark.position or self._is_recent(stream.name)):
            return
        values = {
            "stream": stream.name,
            "mode": mode,
            "position": position,
            "watermark": mark.value,
            "before": mark.position,
            "owner": json.dumps(dict(owner)),
            "origin": state_table.origin_json(origin),
        }
        self._set(stream.name, _SAVE_POSITION, values)
        self.watermarks[stream.name] = replace(mark, mode=mode, position=position, owner=owner, origin=origin)

    def _save_begun(self, stream: str, position: str | None) -> None:
        before = self.begun.get(stream)
        if position is None or position == before or (before and self._is_recent(stream)):
            return
        self._set(stream, _BEGIN, {"stream": stream, "position": position, "before": before})
        self.begun[stream] = position

    def _is_recent(self, stream: str) -> bool:
        """Return whether the stream's row was changed within SAVE_POSITION_SEC."""
        saved_at = self._saved_at.get(stream)
        return saved_at is not None and time.monotonic() < saved_at + SAVE_POSITION_SEC

    def refuse(self, stream: Stream, mismatch: WatermarkMismatch) -> None:
        """Note that the stream stays stopped until it is reset.

        Raises:
            AlreadyRunning: another process moved the watermark.
            SourceError: the connection was lost, and the lock with it.
        """
        mark, refused = self.watermarks[stream.name], (mismatch.problem, mismatch.remedy)
        values = {"stream": stream.name, "watermark": mark.value, "refused": json.dumps(refused)}
        self._set(stream.name, _REFUSE, values)
        self.watermarks[stream.name] = replace(mark, refused=refused)

    def reset(
        self,
        stream: Stream,
        at: datetime | None,
        owner: Mapping[str, str],
        staged_until: datetime,
        position: str | None = None,
    ) -> None:
        """Let the next cycle read the stream from `at` on, or from its beginning.

        Args:
            owner: what the watermark belongs to from now on, whatever it belonged to before.
            staged_until: when the stage's last window was staged; these windows are not recovered any more.
            position: where the source reads on, for a stream whose watermark does not say it.

        Raises:
            AlreadyRunning: another process moved the watermark.
            SourceError: the connection was lost, and the lock with it.
        """
        mark = self.watermarks.get(stream.name)
        values = {
            "stream": stream.name,
            "at": at,
            "position": position,
            "owner": json.dumps(dict(owner)),
            "reset_at": max(utc_now(), staged_until),
            "before": mark.value if mark else None,
        }
        self._set(stream.name, _RESET, values)

    def remove(self, stream: Stream) -> None:
        """Forget how far the stream was read.

        Raises:
            SourceError: the state database failed.
        """
        with translating_postgres(self._conninfo, NAME):
            self._connection.execute("delete from adventure_watermarks where stream = %s", [stream.name])
        self.watermarks.pop(stream.name, None)

    @contextmanager
    def undisturbed(self, stream: Stream) -> Iterator[bool]:
        """Yield whether no repair of the stream runs; while the block runs, none can begin."""
        name = [f"adventure:repair:{stream.name}"]
        with translating_postgres(self._conninfo, NAME):
            alone = self._connection.execute(LOCK, name).fetchone() == (True,)
        try:
            yield alone
        finally:
            if alone:
                with translating_postgres(self._conninfo, NAME):
                    self._connection.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", name)

    @property
    def is_lost(self) -> bool:
        """Whether the connection is lost, and the locks with it."""
        return self._connection.closed

    def close(self) -> None:
        """Close the connection, which releases the locks."""
        self._connection.close()

    def _set(self, stream: str, statement: LiteralString, values: dict[str, Any]) -> None:
        """Change the stream's row by compare-and-set."""
        with translating_postgres(self._conninfo, NAME):
            changed = self._connection.execute(statement, values).rowcount
        if changed != 1:
            raise AlreadyRunning(
                f"The watermark of {stream} was moved by another process",
                "Run only one processor on this stream, and start it again",
            )
        self._saved_at[stream] = time.monotonic()

    def __enter__(self) -> "State":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
