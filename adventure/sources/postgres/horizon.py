"""The horizon: the moment below which every row that will ever be committed in a PostgreSQL database is committed.

Timestamps are set before a transaction commits, so `cursor > the largest seen` loses every row that commits late. No
transaction that is still open began before the oldest that is, so nothing below that moment is missing; which
transactions are open, the server tells in pg_stat_activity. Where it cannot tell, there is no horizon, and a reason.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

MARGIN = timedelta(milliseconds=100)
"""The horizon's distance from the clock: a transaction has its timestamp a moment before others can see it."""

STALLED = timedelta(seconds=60)
"""A horizon older than this is reported with the session that holds it."""

FALLBACK_LOOKBACK = timedelta(seconds=60)
"""Read again below the watermark where the horizon cannot be known and the stream names no lookback."""

_CLOCK = "select clock_timestamp() at time zone 'utc'"

# Read after the clock: a transaction that begins in between starts above it.
_OTHERS = """
select
    min(xact_start) at time zone 'utc',
    case
        when not pg_has_role(current_user, 'pg_read_all_stats', 'usage') then 'the role lacks pg_read_all_stats'
        when pg_is_in_recovery() then 'the server is a standby, which does not see the primary''s transactions'
        when exists (select from pg_prepared_xacts where database = current_database())
            then 'a prepared transaction is open'
        when bool_or(state = 'disabled') then 'a session runs with track_activities off'
    end
from pg_stat_activity
where datname = current_database() and pid not in (pg_backend_pid(), %s)
    and backend_type is distinct from 'autovacuum worker'
"""

_HOLDER = """
select pid, application_name, usename, state from pg_stat_activity
where datname = current_database() and pid not in (pg_backend_pid(), %s) and xact_start is not null
order by xact_start limit 1
"""


@dataclass(frozen=True)
class Horizon:
    """How far a database may be read."""

    moment: datetime
    """Naive UTC, from the server's clock."""
    age: timedelta
    """How far it lies behind that clock."""
    blind: str | None
    """Why rows may still commit below it; None when none can."""

    @property
    def mode(self) -> str:
        """As the watermark keeps it."""
        return f"lookback: {self.blind}" if self.blind else "horizon"


def read_horizon(connection: psycopg.Connection[tuple[Any, ...]], ignored_pid: int) -> Horizon:
    """The horizon now. The connection must stand outside of a transaction.

    Args:
        ignored_pid: the processor's other session, which writes nothing.

    Raises:
        psycopg.Error: the server failed.
    """
    clock, *_ = connection.execute(_CLOCK).fetchone() or ()
    oldest, blind = connection.execute(_OTHERS, [ignored_pid]).fetchone() or ()
    if blind:
        return Horizon(clock - MARGIN, MARGIN, blind)
    moment = min(clock, oldest or clock) - MARGIN
    return Horizon(moment, clock - moment, None)


def holder(connection: psycopg.Connection[tuple[Any, ...]], ignored_pid: int) -> str | None:
    """The session whose open transaction holds the horizon back, as an administrator would look for it."""
    found = connection.execute(_HOLDER, [ignored_pid]).fetchone()
    if found is None:
        return None
    pid, application, user, state = found
    return f"session {pid} ({application or 'no name'}, user {user}, {state})"
