"""Find out which tables can be read by the log, and why others cannot. Ask this in every cycle: it may change.

`stamp` of a table changes when the table or its publication is created again, or when its membership in the
publication changes. Changes that were committed in between may not be in the log, so the table is then read again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from adventure.core.errors import SourceError
from adventure.core.sql_text import quoted
from adventure.core.streams import LOG, SNAPSHOT, Stream
from adventure.sources.postgres.relations import Relation

_SINCE = 150000

_SERVER = """
select
    current_setting('wal_level'),
    pg_is_in_recovery(),
    coalesce((select rolreplication or rolsuper from pg_roles where rolname = current_user), false)
        or exists (select from pg_roles where rolname = 'rds_replication' and pg_has_role(oid, 'usage')),
    current_setting('server_encoding'),
    p.oid is not null,
    coalesce(p.pubinsert and p.pubupdate and p.pubdelete and p.pubtruncate, false)
from (select) as one left join pg_publication as p on p.pubname = %s
"""

_TABLES = """
select
    s.name,
    t.attnames::text[],
    t.rowfilter is not null,
    concat_ws(
        '_', c.oid, p.oid || '.' || p.xmin,
        (select r.oid || '.' || r.xmin from pg_publication_rel as r where r.prpubid = p.oid and r.prrelid = c.oid),
        (select n.oid || '.' || n.xmin from pg_publication_namespace as n
            where n.pnpubid = p.oid and n.pnnspid = c.relnamespace)
    ),
    (
        select json_object_agg(a.attname, format_type(a.atttypid, -1))
        from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    )
from unnest(%(names)s::text[], %(schemas)s::text[], %(tables)s::text[]) as s (name, schema, tbl)
join pg_publication as p on p.pubname = %(publication)s
join pg_publication_tables as t on t.pubname = p.pubname and t.schemaname = s.schema and t.tablename = s.tbl
join pg_class as c on c.relname = s.tbl and c.relnamespace = to_regnamespace(quote_ident(s.schema))
"""

# The columns that identify a row in the log. A deferrable primary key does not count. A partition's file is another one
# when it was truncated, of which the log of the partitioned table says nothing.
_IDENTITIES = """
select
    c.oid,
    c.relreplident::text,
    array(
        select a.attname::text from pg_index as i
        join pg_attribute as a on a.attrelid = i.indrelid
            and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1])
        where i.indrelid = c.oid and i.indisvalid and i.indimmediate
            and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident else false end
    ),
    c.relfilenode
from pg_class as c where c.oid = any(%s::oid[])
"""

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class LogAccess:
    """Which streams can be read by the log."""

    reasons: Mapping[str, SourceError]
    """By stream: why it cannot be read by the log, and what to do."""
    whys: Mapping[str, str] = field(default_factory=dict)
    """The same reasons as a part of a sentence."""
    stamps: Mapping[str, str] = field(default_factory=dict)
    """By stream: a text that changes when changes may be missing in the log."""
    types: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By stream: the types of its key's columns, as a cast names them."""
    parts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By stream: its partitions with their files."""
    unique: frozenset[str] = frozenset()
    """Streams whose key the server keeps unique."""


def read_access(
    connection: Connection, streams: Sequence[Stream], relations: Mapping[str, Relation], publication: str
) -> LogAccess:
    """Return which of these streams can be read by the log.

    Raises:
        psycopg.Error: the server failed.
    """
    found = connection.execute(_SERVER, [publication]).fetchone()
    assert found
    wal_level, is_standby, may_replicate, encoding, exists, all_changes = found
    role = connection.info.user
    reason = None
    if connection.info.server_version < _SINCE:
        reason = ("the server is older than PostgreSQL 15", 'Write mode = "snapshot"')
    elif is_standby:
        reason = ("the server is a standby", 'Let the source name the primary, or write mode = "snapshot"')
    elif encoding == "SQL_ASCII":
        reason = ("the database's encoding is SQL_ASCII", 'Write mode = "snapshot"')
    elif wal_level != "logical":
        remedy = "Run as a superuser: alter system set wal_level = 'logical'; and restart the server"
        reason = (f"wal_level is {wal_level}, not logical", remedy)
    elif not may_replicate:
        reason = (f"the role {role} lacks REPLICATION", f"Run as a superuser: alter role {quoted(role)} replication")
    elif not exists:
        reason = (f"there is no publication {publication}", f"Run as their owner: {create(publication, streams)}")
    elif not all_changes:
        reason = (
            f"the publication {publication} leaves out inserts, updates, deletes or truncates",
            f"alter publication {quoted(publication)} set (publish = 'insert, update, delete, truncate')",
        )
    if reason:
        return LogAccess(
            {stream.name: _error(stream, *reason) for stream in streams},
            dict.fromkeys((stream.name for stream in streams), reason[0]),
        )
    return _tables(connection, streams, relations, publication)


def chosen(stream: Stream, why_not: str | None) -> Stream:
    """Return the stream in its mode: where it names none, by the log, or compared whole with the reason why not."""
    if not stream.is_auto:
        return stream
    return replace(stream, mode=SNAPSHOT, mode_reason=why_not) if why_not else replace(stream, mode=LOG)


def create(publication: str, streams: Sequence[Stream]) -> str:
    """Return the statement by which the tables' owner creates the publication."""
    names = ", ".join(sorted({quoted(stream.namespace, stream.table) for stream in streams}))
    return f"create publication {quoted(publication)} for table {names} with (publish_via_partition_root = true)"


def _error(stream: Stream, problem: str, remedy: str) -> SourceError:
    return SourceError(f"stream {stream.name}: {stream.location} cannot be read by the log: {problem}", remedy)


def _tables(
    connection: Connection, streams: Sequence[Stream], relations: Mapping[str, Relation], publication: str
) -> LogAccess:
    values = {
        "names": [stream.name for stream in streams],
        "schemas": [stream.namespace for stream in streams],
        "tables": [stream.table for stream in streams],
        "publication": publication,
    }
    published = {name: rest for name, *rest in connection.execute(_TABLES, values).fetchall()}
    oids = sorted({member.oid for relation in relations.values() for member in relation.members})
    identities = {oid: rest for oid, *rest in connection.execute(_IDENTITIES, [oids]).fetchall()}
    stamps, types, parts, reasons, whys, unique = {}, {}, {}, {}, {}, set()
    for stream in streams:
        relation = relations[stream.name]
        why = _shape(stream, relation, identities) or _publication(stream, published.get(stream.name), publication)
        if why:
            reasons[stream.name], whys[stream.name] = _error(stream, *why), why[0]
            continue
        _, _, stamps[stream.name], kinds = published[stream.name]
        types[stream.name] = [kinds[name] for name in stream.key]
        tables = [member.oid for member in relation.members if member.kind == "r"]
        parts[stream.name] = frozenset(
            f"{oid}.{identities[oid][2]}" for oid in tables if oid in identities and oid != relation.root.oid
        )
        if all(identities[oid][0] != "f" for oid in tables if oid in identities):
            unique.add(stream.name)
    return LogAccess(reasons, whys, stamps, types, parts, frozenset(unique))


def _shape(stream: Stream, relation: Relation, identities: Mapping[int, Sequence[Any]]) -> tuple[str, str] | None:
    """Return why the log cannot have the changes of the relation and what to do, or None."""
    kind, snapshot = relation.root.kind, 'Write mode = "snapshot"'
    if kind not in "rp":
        return "it is no table", snapshot
    if kind == "r" and len(relation.members) > 1:
        return "it has child tables", snapshot
    for member in relation.members:
        if member.kind == "f":
            return f"{member.name} is a foreign table", snapshot
        identity, columns, _ = identities.get(member.oid, ("n", (), 0))
        if member.kind == "r" and identity != "f" and set(columns) != set(stream.key):
            held = ", ".join(columns) or "nothing"
            return (
                f"the replica identity of {member.name} is {held}, and its key {', '.join(stream.key)}",
                f"Correct key in pipeline.toml, or run as its owner: alter table {member.name} replica identity full",
            )
    return None


def _publication(stream: Stream, found: Sequence[Any] | None, publication: str) -> tuple[str, str] | None:
    """Return why the publication does not have all changes of the table and what to do, or None."""
    table, name = quoted(stream.namespace, stream.table), quoted(publication)
    if found is None:
        return (
            f"it is not in the publication {publication}, or is partitioned and not published as one table",
            f"Run as its owner: alter publication {name} add table {table};"
            f" alter publication {name} set (publish_via_partition_root = true)",
        )
    columns, is_filtered, *_ = found
    again = f"Run as its owner: alter publication {name} drop table {table}; alter publication {name} add table {table}"
    if is_filtered:
        return f"the publication {publication} has a condition on its rows", again
    missing = [column for column in stream.key if column not in columns]
    return (f"the publication {publication} leaves out {', '.join(missing)}, of its key", again) if missing else None
