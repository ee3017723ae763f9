"""The horizon: the latest timestamp below which no open transaction of a PostgreSQL database can still add rows.

Timestamps are set before a transaction commits, so `cursor > largest cursor read` would lose every row that commits
late. No open transaction writes timestamps before the start of the oldest one. The server shows open transactions in
pg_stat_activity. Where it cannot show them all, the horizon is unknown, and the reason is kept.

`now()` is the time at which a message of the client arrived. A message may hold several transactions
(`begin; …; commit; begin; …`), and procedures may commit. Between two transactions xact_start is empty, and the next
one writes `now()` or `statement_timestamp()` of the whole message. An active session therefore counts from the arrival
of its message, query_start, even if no transaction is open.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg

from adventure.core.clock import Moment

MARGIN = timedelta(milliseconds=100)
"""The horizon's distance from the clock: a transaction has its timestamp shortly before other sessions can see it."""

STALLED = timedelta(seconds=60)
"""A horizon older than this is reported, with the session that holds it back."""

FALLBACK_LOOKBACK = timedelta(seconds=60)
"""How far to read below the watermark if the horizon is unknown and the stream sets no lookback."""

_LOOKS = 3
"""How often to check a session that seems to hide a transaction: its entry and its xid are not read atomically."""

Connection = psycopg.Connection[tuple[Any, ...]]

_CLOCK = "select clock_timestamp() at time zone 'utc'"

# A session is `active` from the arrival of a message to its end. Replication commands never end, and write nothing.
# A login trigger may write the time at which the client connected, which may be long before it sent its password.
# Until then the session has no database.
_SESSIONS = r"""
select
    pid, application_name, usename, state,
    least(
        xact_start,
        case when state = 'active' and not is_stream then query_start end,
        case when is_new then backend_start end
    ) as since,
    pid || '@' || extract(epoch from coalesce(
        xact_start,
        case when state = 'active' and not is_stream then query_start end,
        case when is_new then backend_start end
    )) as work,
    xact_start is null and (
        state like 'idle in transaction%%'
        or state = 'active' and not is_stream and (backend_xid is not null or backend_xmin is not null)
    ) as hides
from pg_stat_activity
cross join lateral (
    select
        backend_type = 'walsender' and query ~* '^\s*(start_replication|base_backup)' as is_stream,
        backend_type = 'client backend' and (state is null or state = 'starting')
            and exists (select from pg_event_trigger where evtevent = 'login' and evtenabled <> 'D') as is_new
) as kind
where (datname = current_database() or is_new) and pid not in (pg_backend_pid(), %s)
    and backend_type is distinct from 'autovacuum worker'
"""

# Run this after reading the clock: a transaction that begins in between starts later than the clock that was read.
_OLDEST = f"""
select
    min(since) at time zone 'utc',
    coalesce(bool_or(hides), false),
    coalesce(bool_or(state = 'disabled'), false),
    coalesce(array_agg(work) filter (where work is not null), '{{}}')
from ({_SESSIONS}) as sessions
"""

# Run this after reading the sessions: a transaction that is just being prepared then shows in one of the two.
_REASON = """
select case
    when not pg_has_role(current_user, 'pg_read_all_stats', 'usage') then 'the role lacks pg_read_all_stats'
    when pg_is_in_recovery() then 'the server is a standby, which does not see the primary''s transactions'
    when exists (select from pg_prepared_xacts where database = current_database())
        then 'a prepared transaction is open'
    when current_setting('server_version_num')::int < 180000
            and exists (select from pg_event_trigger where evtevent = 'login' and evtenabled <> 'D')
        then 'a login trigger runs in sessions that are not visible before version 18'
end
"""

_BLOCKING = f"""
select pid, application_name, usename, state from ({_SESSIONS}) as sessions
where since is not null order by since limit 1
"""


@dataclass(frozen=True)
class Horizon:
    """How far a database may be read."""

    moment: datetime
    """Naive UTC, from the server's clock."""
    age: timedelta
    """How far it lies behind that clock."""
    unknown_reason: str | None
    """Why rows may still commit below the horizon; None when none can."""
    asked: Moment = field(default_factory=Moment.now)
    """Our own clock before we asked the server for its clock."""
    answered: Moment = field(default_factory=Moment.now)
    """Our own clock after the server's answer."""
    working: frozenset[str] = frozenset()
    """The transactions and messages that are open: the session's process id, and when it began the work."""

    @property
    def clock(self) -> datetime:
        """The server's clock, naive UTC."""
        return self.moment + self.age

    @property
    def mode(self) -> str:
        """The mode to save with the watermark."""
        return f"lookback: {self.unknown_reason}" if self.unknown_reason else "horizon"


def read_horizon(connection: Connection, ignored_pid: int) -> Horizon:
    """Return the horizon now.

    Args:
        connection: outside of a transaction.
        ignored_pid: the processor's other session, which writes nothing.

    Raises:
        psycopg.Error: the server failed.
    """
    asked = Moment.now()
    clock, *_ = connection.execute(_CLOCK).fetchone() or ()
    answered = Moment.now()
    oldest, working, unknown_reason = _sessions(connection, ignored_pid)
    moment = (clock if unknown_reason else min(clock, oldest or clock)) - MARGIN
    return Horizon(moment, clock - moment, unknown_reason, asked, answered, working)


def _sessions(connection: Connection, ignored_pid: int) -> tuple[datetime | None, frozenset[str], str | None]:
    """Return when the oldest active session started its work, what all work on, and the reason if that is unknown."""
    for _ in range(_LOOKS):
        oldest, hides, disabled, working = (
            connection.execute(_OLDEST.encode(), [ignored_pid], prepare=True).fetchone() or ()
        )
        if not hides:
            break
    (reason,) = connection.execute(_REASON, prepare=True).fetchone() or ()
    if reason is None and disabled:
        reason = "a session runs with track_activities off"
    if reason is None and hides:
        reason = "a session began its transaction with track_activities off"
    return oldest, frozenset(working), reason


def blocking_session(connection: Connection, ignored_pid: int) -> str | None:
    """Describe the session whose open transaction or message holds the horizon back; None when there is none."""
    found = connection.execute(_BLOCKING.encode(), [ignored_pid]).fetchone()
    if found is None:
        return None
    pid, application, user, state = found
    return f"session {pid} ({application or 'no name'}, user {user}, {state})"
