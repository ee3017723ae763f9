"""Find, create, advance and drop the replication slot of a pipeline. A slot keeps the log that was not read yet.

A pipeline has one slot in each source database. Its name begins with the pipeline's own prefix, and ends with a number
that no other slot had: a watermark names the slot that it was read from, so a new slot is never taken for the old one.
"""

import hashlib
import platform
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from adventure.core.settings import Settings
from adventure.core.sql_text import literal, quoted

CREATE_SEC = 5
"""How long to wait for the creation of a slot. The server first lets all open transactions that have written end."""

_SLOTS = """
select
    slot_name,
    coalesce(confirmed_flush_lsn - '0/0', 0)::bigint,
    coalesce(wal_status, '') = 'lost' or to_jsonb(s) ->> 'invalidation_reason' is not null,
    coalesce(to_jsonb(s) ->> 'invalidation_reason', wal_status, ''),
    active_pid,
    coalesce(
        (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end) - restart_lsn, 0
    )::bigint,
    safe_wal_size
from pg_replication_slots as s
where database = current_database() and plugin = 'pgoutput'
    and (starts_with(slot_name, %(prefix)s) or slot_name = any(%(names)s::name[]))
order by slot_name
"""

_FAILOVER_SINCE = 170000
_OF = "adventure_of_"

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Slot:
    """A replication slot."""

    name: str
    confirmed: int
    """Changes that were committed before this position were read. As a number of bytes, like all positions here."""
    is_lost: bool
    """Whether the server removed log that was not read yet, or invalidated the slot for another reason."""
    status: str
    """The reason if it is lost, else `reserved`, `extended` or `unreserved`."""
    active_pid: int | None
    """The session that reads it now."""
    lag: int
    """Bytes of log that the server keeps for it."""
    safe: int | None
    """Bytes that may still be written before it is in danger; None if there is no limit."""


def slot_prefix(settings: Settings) -> str:
    """Return how the names of the pipeline's slots begin: another pipeline has another state database."""
    state = conninfo_to_dict(settings.state_conninfo)
    host = str(state.get("host") or "localhost")
    here = platform.node() if host in ("localhost", "127.0.0.1", "::1") or host.startswith("/") else ""
    whose = "|".join(str(part) for part in (here, host, state.get("port"), state.get("dbname"), state.get("user")))
    return f"{_start(settings)}{hashlib.sha256(f'{whose}|{settings.postgres_db}'.encode()).hexdigest()[:10]}_"


def own_slots(settings: Settings, names: Collection[str]) -> set[str]:
    """Return the slots that are of this source: another source of the pipeline may have one in the same database."""
    start = _start(settings)
    return {name for name in names if name.startswith(start) and (settings.own_source or not name.startswith(_OF))}


def _start(settings: Settings) -> str:
    """Return how the names of the source's slots begin in every pipeline."""
    own = settings.own_source
    return f"{_OF}{hashlib.sha256(own.label.encode()).hexdigest()[:6]}_" if own else "adventure_"


def find_slots(connection: Connection, prefix: str, names: Collection[str] = ()) -> list[Slot]:
    """Return the database's slots whose name begins with the prefix or is one of these names."""
    found = connection.execute(_SLOTS, {"prefix": prefix, "names": list(names)}).fetchall()
    return [Slot(*row) for row in found]


def create_slot(connection: Connection, prefix: str) -> Slot:
    """Create a slot. On servers that can, it moves to a standby that is promoted.

    Raises:
        psycopg.Error: the server failed, has no slot left, or open transactions did not end within CREATE_SEC.
    """
    name = f"{prefix}{secrets.token_hex(4)}"
    failover = ", failover => true" if connection.info.server_version >= _FAILOVER_SINCE else ""
    connection.execute(f"set statement_timeout = {CREATE_SEC * 1000}; set lock_timeout = 0")
    try:
        connection.execute(
            f"select pg_create_logical_replication_slot(%s, 'pgoutput'{failover})".encode(),
            [name],
        )
    finally:
        if not connection.closed:
            connection.execute("set statement_timeout = 0")
    return next(slot for slot in find_slots(connection, prefix) if slot.name == name)


def advance_slot(connection: Connection, name: str, position: int) -> None:
    """Let the server drop the log below the position.

    Raises:
        psycopg.Error: the server failed, or another session reads the slot.
    """
    connection.execute("select pg_replication_slot_advance(%s, '0/0'::pg_lsn + %s)", [name, position])


def drop_slot(connection: Connection, name: str) -> None:
    """Drop the slot.

    Raises:
        psycopg.Error: the server failed, or another session reads the slot.
    """
    connection.execute("select pg_drop_replication_slot(%s)", [name])


def peek_query(name: str, publication: str, end: int, limit: int) -> str:
    """Return the query for the messages behind the slot's position. It does not advance the slot.

    Args:
        end: the position from which on nothing is read.
        limit: messages after which to stop at the end of a transaction; a longer transaction comes whole.
    """
    return (
        f"select data from pg_logical_slot_peek_binary_changes('{name}', '0/0'::pg_lsn + {end}, {limit},"
        f" 'proto_version', '1', 'publication_names', {literal(quoted(publication))})"
    )
