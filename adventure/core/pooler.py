"""Find out whether a connection to PostgreSQL has a server session of its own.

A pooler in transaction or statement mode gives one server session to many clients in turn. Advisory locks, settings
and prepared statements then belong to the next client as well: two processors would hold the same lock.
"""

import select
from contextlib import closing
from typing import Any

import psycopg

from adventure.core.connect import connect_postgres, postgres_place, translating_postgres
from adventure.core.errors import SourceRefused
from adventure.core.source_name import SourceName

ROUNDS = 5
"""How often to ask both connections which session serves them. Other clients may come between two questions."""

WAIT_SEC = 5.0
"""How long to wait for the second connection. If the pool is full, each client holds a session of its own."""

_PID = b"select pg_backend_pid()"


def require_own_session(
    connection: psycopg.Connection[tuple[Any, ...]], conninfo: str, name: str | SourceName, *, setting: str
) -> None:
    """Check that the server session stays with this connection between two transactions.

    The server names the session's process when a connection begins; a pooler names another one. Only then a second
    connection is opened, and both are asked in turn: a pooler that shares sessions gives the second one the first's.

    Args:
        connection: in autocommit, and outside of a transaction.
        conninfo: what it was opened with.
        name: as in `connect_postgres`.
        setting: names the settings that say where the database is, for the error.

    Raises:
        SourceRefused: a pooler shares server sessions between its clients.
        SourceError: the server failed.
    """
    with translating_postgres(conninfo, name):
        first = _backend(connection)
        if first == connection.info.backend_pid:
            return
        with closing(connect_postgres(conninfo, name=name, autocommit=True, retry_for=0)) as other:
            for _ in range(ROUNDS):
                theirs = _backend_soon(other)
                if theirs is None:
                    return
                if theirs == first or _backend(connection) != first:
                    raise SourceRefused(
                        f"{postgres_place(conninfo, name)} is reached through a pooler that gives one server session to"
                        " several clients in turn (transaction or statement mode): the processor would lose its locks"
                        " and settings",
                        f"Let {setting} name the server itself, or set pool_mode = session for this database in the"
                        " pooler",
                    )


def _backend(connection: psycopg.Connection[tuple[Any, ...]]) -> int:
    (pid,) = connection.execute(_PID).fetchone() or (0,)
    return int(pid)


def _backend_soon(connection: psycopg.Connection[tuple[Any, ...]]) -> int | None:
    """Return what `_backend` returns, or None without an answer in WAIT_SEC. The connection is unusable after None."""
    server = connection.pgconn
    server.send_query(_PID)
    while server.flush():
        select.select([], [server.socket], [], WAIT_SEC)
    while server.is_busy():
        if not select.select([server.socket], [], [], WAIT_SEC)[0]:
            return None
        server.consume_input()
    result = server.get_result()
    while server.get_result():
        pass
    value = result.get_value(0, 0) if result and result.ntuples else None
    return int(value) if value else None
