"""Identify a PostgreSQL database, and read how far its write-ahead log is flushed to disk.

The flushed log survives a crash, so the position goes back only if the server was restored to an older state, or if a
lagging standby answers. A transaction counter would not work, because a crash may lose aborted transactions.
"""

from typing import Any, LiteralString

import psycopg
from psycopg import errors

from adventure.core.watermark import Origin

_FULL = """
select
    format('system %s, database %s', s.system_identifier, d.oid),
    (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_flush_lsn() end - '0/0')::bigint,
    c.timeline_id,
    pg_is_in_recovery()
from pg_control_system() as s, pg_control_checkpoint() as c, pg_database as d
where d.datname = current_database()
"""

# Some managed servers lack these functions, such as Aurora unless its wal_level is logical.
_NAME_ONLY = """
select format('database %s (%s)', oid, datname), null::bigint, null::integer, pg_is_in_recovery()
from pg_database where datname = current_database()
"""

_MISSING = (
    errors.InsufficientPrivilege,
    errors.UndefinedFunction,
    errors.ObjectNotInPrerequisiteState,
    errors.FeatureNotSupported,
)

Connection = psycopg.Connection[tuple[Any, ...]]


def origin_query(connection: Connection) -> LiteralString:
    """Return the query that `read_origin` can run on this server."""
    try:
        connection.execute(_FULL)
    except _MISSING:
        return _NAME_ONLY
    return _FULL


def read_origin(connection: Connection, query: LiteralString) -> Origin:
    """Return the database's origin.

    Args:
        connection: outside of a transaction.
        query: what `origin_query` returned for this server.
    """
    name, position, timeline, is_standby = connection.execute(query).fetchone() or (None, None, None, False)
    return Origin(name, position, timeline, is_standby)
