"""Create, extend and read the table of watermarks in the state database.

A table of that name with other columns is not ours: it is refused and never changed. When the table is created,
watermarks that an earlier version kept in `processor_metadata` are copied into it; that table is never changed either.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from adventure.core.errors import SourceRefused
from adventure.core.watermark import Origin, Watermark

TABLE = "adventure_watermarks"
OLD_TABLE = "processor_metadata"

_REQUIRED = {
    "stream": "text",
    "watermark": "timestamp without time zone",
    "window_id": "text",
    "run_id": "text",
    "horizon": "timestamp without time zone",
    "mode": "text",
    "updated_at": "timestamp without time zone",
}
"""A table with these columns is ours. A later version may add columns."""

_OPTIONAL = {
    "position": "text",
    "owner": "text",  # JSON in ASCII, which a database of any encoding holds; see `Watermark.owner`
    "origin": "text",  # JSON in ASCII; see `Watermark.origin`
    "read_from": "timestamp",
    "refused": "text",  # JSON in ASCII: problem and remedy; see `Watermark.refused`
    "reset_at": "timestamp",  # windows that were staged before this time no longer move the watermark
}
"""Columns that are added to the table of an earlier version."""

_CREATE = """
create table adventure_watermarks (
    stream text primary key,
    watermark timestamp,
    window_id text,
    run_id text,
    horizon timestamp,
    mode text,
    updated_at timestamp not null default (now() at time zone 'utc')
)
"""

# The earliest versions had no position.
_COPY = """
insert into adventure_watermarks (stream, watermark, window_id, run_id, horizon, mode, updated_at, position)
select stream, watermark, window_id, run_id, horizon, mode, updated_at, to_jsonb(m) ->> 'position'
from processor_metadata as m
"""

_COLUMNS_OF = """
select attname, format_type(atttypid, null) from pg_attribute
where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped
"""

_PLACE_OF = """
select format('%%I.%%I', n.nspname, c.relname) from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where c.oid = to_regclass(%s)
"""

_LOCK = "select pg_advisory_xact_lock(hashtextextended('adventure watermarks', 0))"

Connection = psycopg.Connection[tuple[Any, ...]]


def prepare(connection: Connection) -> None:
    """Create the table if it is missing, and add missing columns. If nothing is missing, no DDL privilege is needed.

    Raises:
        SourceRefused: there is a table of that name which is not ours.
    """
    with connection.transaction():
        # If two processors start for the first time at once, one would find the other's table incomplete.
        connection.execute(_LOCK)
        found = _columns(connection, TABLE)
        created = not found
        if created:
            connection.execute(_CREATE)
            found = _REQUIRED
        elif not _is_ours(found):
            raise _foreign(connection)
        for name in _OPTIONAL.keys() - found.keys():
            column = sql.SQL("alter table {} add column {} {}").format(
                sql.Identifier(TABLE), sql.Identifier(name), sql.SQL(_OPTIONAL[name])
            )
            connection.execute(column)
        if created and _is_of_an_earlier_version(_columns(connection, OLD_TABLE)):
            connection.execute(_COPY)


@dataclass(frozen=True)
class Contents:
    """The contents of the table, by stream."""

    watermarks: dict[str, Watermark]
    """A stream that was never read, or was reset to its beginning, has none."""
    resets: dict[str, datetime]
    """When the stream was last reset; naive UTC."""
    begun: dict[str, str]
    """Where the source's log was opened, for a stream without a watermark; see `State.save_position`."""


def read(connection: Connection) -> Contents:
    """Return the contents of the table, or of an earlier version's table if there is no other; change nothing.

    Raises:
        SourceRefused: there is a table of that name which is not ours.
    """
    table = TABLE
    if found := _columns(connection, TABLE):
        if not _is_ours(found):
            raise _foreign(connection)
    elif _is_of_an_earlier_version(_columns(connection, OLD_TABLE)):
        table = OLD_TABLE
    else:
        return Contents({}, {}, {})
    # Read rows as JSON, in which columns that an earlier version's table lacks are simply absent.
    query = sql.SQL("select to_jsonb(m)::text from {} as m").format(sql.Identifier(table))
    rows = [json.loads(row[0]) for row in connection.execute(query)]
    return Contents(
        {row["stream"]: _watermark(row) for row in rows if row["watermark"] is not None},
        {row["stream"]: datetime.fromisoformat(row["reset_at"]) for row in rows if row.get("reset_at")},
        {row["stream"]: row["position"] for row in rows if row["watermark"] is None and row.get("position")},
    )


def _watermark(row: dict[str, Any]) -> Watermark:
    refused = json.loads(row.get("refused") or "null")
    return Watermark(
        stream=row["stream"],
        value=datetime.fromisoformat(row["watermark"]),
        horizon=datetime.fromisoformat(row["horizon"]),
        mode=row["mode"],
        updated_at=datetime.fromisoformat(row["updated_at"]),
        position=row.get("position"),
        window_id=row["window_id"],
        owner=json.loads(row.get("owner") or "{}"),
        origin=Origin(**json.loads(row.get("origin") or "{}")),
        refused=(refused[0], refused[1]) if refused else None,
        read_from=datetime.fromisoformat(row["read_from"]) if row.get("read_from") else None,
    )


def origin_json(origin: Origin) -> str:
    """Return the value of column `origin`."""
    return json.dumps({"name": origin.name, "position": origin.position, "timeline": origin.timeline})


def _columns(connection: Connection, table: str) -> dict[str, str]:
    """Return the table's columns with their types; empty when there is no such table."""
    return dict(connection.execute(_COLUMNS_OF, [table]).fetchall())


def _is_ours(columns: dict[str, str]) -> bool:
    return columns.items() >= _REQUIRED.items()


def _is_of_an_earlier_version(columns: dict[str, str]) -> bool:
    return columns in (_REQUIRED, _REQUIRED | {"position": "text"})


def _foreign(connection: Connection) -> SourceRefused:
    found = connection.execute(_PLACE_OF, [TABLE]).fetchone()
    return SourceRefused(
        f"the state database has a table {found[0] if found else TABLE} that is not Adventure's: its columns differ",
        "Set STATE_DSN to another database, or rename that table",
    )
