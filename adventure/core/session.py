"""Session settings for PostgreSQL, so that settings of the role or the database do not affect our sessions."""

from typing import Any

import psycopg

_TIMEOUTS = {
    "statement_timeout": 0,
    "lock_timeout": 0,
    "idle_in_transaction_session_timeout": 0,
    "idle_session_timeout": 140000,
    "transaction_timeout": 170000,
}
"""Settings that end long statements or sessions, with the server version that introduced each."""

_TRANSACTIONS = {
    "default_transaction_isolation": "'read committed'",
    "default_transaction_deferrable": "off",
}


def plain_session(connection: "psycopg.Connection[tuple[Any, ...]]", *, read_only: bool) -> list[str]:
    """Return the statements that switch off all timeouts and reset the transaction defaults.

    Args:
        connection: any connection to the same server.
    """
    version = connection.info.server_version
    timeouts = [f"set {name} = 0" for name, since in _TIMEOUTS.items() if version >= since]
    modes = _TRANSACTIONS | {"default_transaction_read_only": "on" if read_only else "off"}
    return [*timeouts, *(f"set {name} = {value}" for name, value in modes.items())]


def set_plain_session(connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
    """Apply `plain_session` to a session that writes.

    Raises:
        psycopg.Error: the server failed.
    """
    connection.execute("; ".join(plain_session(connection, read_only=False)).encode())
