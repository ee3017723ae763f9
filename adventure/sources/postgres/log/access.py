"""Find out which tables can be read by the log, and why others cannot. Ask this in every cycle: it may change.

`stamp` of a table changes when its publication, or its membership in it, is changed or made again. Changes that were
committed in between may not be in the log, so the table is then read again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from adventure.core.streams import Stream
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
    t.rowfilter,
    concat_ws(
        '_', p.oid || '.' || p.xmin,
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

# The columns that identify a row in the log. A deferrable primary key does not count.
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
    )
from pg_class as c where c.oid = any(%s::oid[])
"""

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class LogAccess:
    """Which streams can be read by the log."""

    stamps: Mapping[str, str]
    """By stream: a text that changes when changes may be missing in the log."""
    types: Mapping[str, Sequence[str]]
    """By stream: the types of its key's columns, as a cast names them."""
    reasons: Mapping[str, str]
    """By stream: why it cannot be read by the log."""
    is_published: bool
    """Whether there is a publication, so that the operator means to use the log."""


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
    if not exists:
        reason = f"there is no publication {publication}"
    elif wal_level != "logical":
        reason = f"wal_level is {wal_level}, not logical"
    elif not may_replicate:
        reason = f"the role {role} lacks REPLICATION"
    elif connection.info.server_version < _SINCE:
        reason = "the server is older than PostgreSQL 15"
    elif is_standby:
        reason = "the server is a standby"
    elif encoding == "SQL_ASCII":
        reason = "the database's encoding is SQL_ASCII"
    elif not all_changes:
        reason = f"the publication {publication} leaves out inserts, updates, deletes or truncates"
    if reason:
        return LogAccess({}, {}, {stream.name: reason for stream in streams}, exists)
    return _tables(connection, streams, relations, publication)


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
    stamps, types, reasons = {}, {}, {}
    for stream in streams:
        relation = relations[stream.name]
        why = _shape(stream, relation, identities) or _publication(stream, published.get(stream.name), publication)
        if why:
            reasons[stream.name] = why
        else:
            stamps[stream.name] = published[stream.name][2]
            types[stream.name] = [published[stream.name][3][name] for name in stream.key]
    return LogAccess(stamps, types, reasons, True)


def _shape(stream: Stream, relation: Relation, identities: Mapping[int, Sequence[Any]]) -> str | None:
    """Return why the log cannot have the changes of the relation, or None."""
    kind = relation.root.kind
    if stream.where or stream.start or set(stream.hash) & set(stream.key):
        return "it has where or start, or hashes its key"
    if kind not in "rp":
        return f"{stream.location} is no table"
    if kind == "r" and len(relation.members) > 1:
        return f"{stream.location} has child tables"
    for member in relation.members:
        if member.kind == "f":
            return f"{member.name} is a foreign table"
        identity, columns = identities.get(member.oid, ("n", ()))
        missing = [name for name in stream.key if name not in columns]
        if member.kind == "r" and identity != "f" and missing:
            return f"the replica identity of {member.name} does not hold {', '.join(missing)}, of its key"
    return None


def _publication(stream: Stream, found: Sequence[Any] | None, publication: str) -> str | None:
    """Return why the publication does not have all changes of the table, or None."""
    if found is None:
        return f"{stream.location} is not in the publication {publication}, or it is partitioned and not published as one"
    columns, row_filter, *_ = found
    if row_filter:
        return f"the publication {publication} has a condition on the rows of {stream.location}"
    missing = [name for name in stream.key if name not in columns]
    return f"the publication {publication} leaves out {', '.join(missing)}, of its key" if missing else None
