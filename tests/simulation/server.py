"""A PostgreSQL server in memory: its clock, its sessions, one table, and what pg_stat_activity shows of them.

The rules are PostgreSQL's: `now()` is the time at which the message arrived that began the transaction; other sessions
see it in pg_stat_activity a moment later; rows become visible at the commit; a session is active until its whole
message is done; a transaction that is open keeps others from changing its rows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from adventure.core.zones import to_local
from tests.simulation.process import EPOCH, Process

HIDDEN_AT_MOST_US = 40_000
"""How long a session's new timestamp may be missing from pg_stat_activity. The horizon's margin has to be longer, also
after the smallest step of the clock that is not noticed."""

_SECOND, _MILLISECOND = timedelta(seconds=1), timedelta(milliseconds=1)


class Row(NamedTuple):
    """One version of a row."""

    cursor: datetime
    value: int


@dataclass
class Session:
    """A writer's session."""

    message_at: datetime | None = None
    """`query_start`, while a message is worked on."""
    xact_at: datetime | None = None
    """`xact_start`, while a transaction is open."""
    hidden_since_us: int | None = None
    """Since when pg_stat_activity does not show these yet; None once it does."""
    is_interactive: bool = False
    """Each statement is a message of its own, so that the session is idle in between."""
    writes: dict[int, Row | None] = field(default_factory=dict)

    @property
    def is_idle(self) -> bool:
        """Whether it neither works on a message nor has a transaction open."""
        return self.message_at is None and self.xact_at is None


def as_stored(moment: datetime, precision: str) -> datetime:
    """Return a timestamp as the cursor's column holds it."""
    if precision == "us":
        return moment
    if precision == "day":
        return moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if precision == "trunc":
        return moment.replace(microsecond=0)
    unit = _SECOND if precision == "s" else _MILLISECOND
    return moment + unit / 2 - (moment + unit / 2 - datetime.min) % unit


@dataclass
class Server:
    """The source database.

    Args:
        default: what sets the cursor: `now`, `statement` or `clock`.
        precision: of the cursor's values: `us`; `ms` and `s`, to which the column rounds; `trunc` and `day`, to which
            the writers truncate.
        zone: whose wall clock the writers set the cursor from.
    """

    true_us: Callable[[], int]
    default: str
    precision: str
    zone: str = "UTC"
    offset_us: int = 0
    """The server's clock less the true time."""
    rows: dict[int, Row] = field(default_factory=dict)
    """The committed rows that a new snapshot sees."""
    lsn: int = 1
    sessions: list[Session] = field(default_factory=lambda: [Session() for _ in range(4)])
    unknown_reason: str | None = None
    """Why pg_stat_activity does not show every transaction."""
    locked_by: set[Process] = field(default_factory=set)
    """The processors that hold a lock against changes of the table."""
    written: int = 0
    stepped: bool = False
    """Whether the clock was ever set back, so that a newer version can have an older cursor."""

    def clock(self) -> datetime:
        """Return the server's clock, naive UTC."""
        return EPOCH + timedelta(microseconds=self.true_us() + self.offset_us)

    def disconnect(self, process: Process) -> None:
        """End the sessions of a process."""
        self.locked_by.discard(process)

    def settle(self, passing_us: int) -> None:
        """Show each session in pg_stat_activity that would be missing for too long after that time."""
        now = self.true_us()
        for session in self.sessions:
            if session.hidden_since_us is not None and now + passing_us - session.hidden_since_us > HIDDEN_AT_MOST_US:
                session.hidden_since_us = None

    def begin(self, number: int, *, interactive: bool) -> None:
        """Begin a transaction in an idle session, or another one in the message that the session works on."""
        session = self.sessions[number]
        if session.xact_at is not None:
            return
        if session.message_at is None:
            session.message_at = self.clock()
            session.hidden_since_us = self.true_us()
            session.is_interactive = interactive
        session.xact_at = session.message_at

    def write(self, number: int, key: int, what: str) -> None:
        """Insert or update the row, or delete it, or give it another key."""
        session = self.sessions[number]
        taken = {locked for other in self.sessions if other is not session for locked in other.writes}
        if session.xact_at is None or key in taken or (what == "move" and -key in taken):
            return
        if what == "delete":
            session.writes[key] = None
            return
        if what == "move":
            if self._current(session, key) is None:
                return
            session.writes[key] = None
            key = -key
        stamp = session.xact_at
        if self.default == "clock" or (self.default == "statement" and session.is_interactive):
            stamp = self.clock()
        self.written += 1
        session.writes[key] = Row(as_stored(to_local(stamp, self.zone), self.precision), self.written)

    def end(self, number: int, *, commit: bool) -> None:
        """Commit the session's transaction, or roll it back. The message goes on, unless the session is interactive."""
        session = self.sessions[number]
        if session.xact_at is None:
            return
        if commit:
            for key, row in session.writes.items():
                if row is None:
                    self.rows.pop(key, None)
                else:
                    self.rows[key] = row
            self.lsn += 1
        session.writes.clear()
        session.xact_at = None
        if session.is_interactive:
            self.finish(number)

    def finish(self, number: int) -> None:
        """End the session's message."""
        session = self.sessions[number]
        if session.xact_at is None:
            session.message_at = session.hidden_since_us = None

    def truncate(self) -> None:
        """Delete all rows, unless a lock on the table or on one of its rows is in the way."""
        if not self.locked_by and not any(session.writes for session in self.sessions):
            self.rows = {}
            self.lsn += 1

    def oldest(self, *, counts_messages: bool = True) -> datetime | None:
        """Return what the horizon's query selects: when the oldest visible session began its work."""
        moments = []
        for session in self.sessions:
            if session.hidden_since_us is None:
                moments += [session.xact_at] if session.xact_at else []
                if counts_messages and session.message_at and not session.is_interactive:
                    moments.append(session.message_at)
        return min(moments, default=None)

    def working(self) -> list[str]:
        """Return what the horizon's query shows of the sessions that work: who they are, and when they began."""
        return [
            f"{number}@{(session.xact_at or session.message_at).timestamp()}"
            for number, session in enumerate(self.sessions)
            if session.hidden_since_us is None and not session.is_idle
        ]

    def _current(self, session: Session, key: int) -> Row | None:
        return session.writes[key] if key in session.writes else self.rows.get(key)
