"""Sessions at the state database, and the locks that they hold: of a processor on a stream, and of a repair."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adventure.core.connect import connect_postgres, translating_postgres
from adventure.core.errors import AlreadyRunning
from adventure.core.pooler import require_own_session
from adventure.core.session import set_plain_session
from adventure.core.settings import Settings
from adventure.core.streams import Stream

Connection = psycopg.Connection[tuple[Any, ...]]

NAME = "the state database"

_LOCK_HOLDER = """
select a.pid, a.application_name from pg_locks as l join pg_stat_activity as a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
    and l.database = (select oid from pg_database where datname = current_database())
    and (l.classid::bigint << 32) | l.objid::bigint = hashtextextended(%s, 0)
"""

LOCK = "select pg_try_advisory_lock(hashtextextended(%s, 0))"


def connect(conninfo: str, *, brief: bool = False, silence: float | None = None) -> Connection:
    """Open a session that keeps its locks, and that no setting of the role ends or makes read-only."""
    connection = connect_postgres(conninfo, name=NAME, autocommit=True, brief=brief, silence=silence)
    try:
        require_own_session(connection, conninfo, NAME, setting="STATE_DSN")
        with translating_postgres(conninfo, NAME):
            set_plain_session(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def state_conninfo(settings: Settings) -> str:
    """Return the connection string, with a name by which a second processor can say who has the lock."""
    given = conninfo_to_dict(settings.state_conninfo)
    name = given.get("application_name") or f"adventure on {socket.gethostname()[:32]}, pid {os.getpid()}"
    # In a database of encoding SQL_ASCII text would come as bytes otherwise.
    return make_conninfo(settings.state_conninfo, client_encoding="UTF8", application_name=name)


def lock_stream(connection: Connection, stream: Stream) -> None:
    """Take the lock on the stream, until the connection ends.

    Raises:
        AlreadyRunning: another processor has it.
        psycopg.Error: the server failed.
    """
    lock = [f"adventure:{stream.name}"]
    if connection.execute(LOCK, lock).fetchone() != (True,):
        holder = connection.execute(_LOCK_HOLDER, lock).fetchone()
        who = f": {holder[1]} (session {holder[0]} of the state database)" if holder else ""
        raise AlreadyRunning(f"Another processor works on the stream {stream.name}{who}", "Stop it first")


@contextmanager
def repairing(settings: Settings, stream: Stream) -> Iterator[None]:
    """Keep other repairs away in the block, and starting processors from discarding what the repair stages.

    Raises:
        AlreadyRunning: another repair of it runs.
        SourceError: the state database does not answer, or refuses.
    """
    conninfo = state_conninfo(settings)
    connection = connect(conninfo)
    with connection:
        with translating_postgres(conninfo, NAME):
            taken = connection.execute(LOCK, [f"adventure:repair:{stream.name}"]).fetchone()
        if taken != (True,):
            raise AlreadyRunning(f"Another repair of the stream {stream.name} is under way", "Wait for it to finish")
        yield
