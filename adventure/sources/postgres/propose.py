"""Propose how to read each table of a PostgreSQL database, for `adventure init`."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from adventure.core.errors import SourceError
from adventure.core.ids import Position
from adventure.core.settings import Settings
from adventure.core.sql_text import quoted
from adventure.core.streams import APPEND, LOG, READ_AT, ROW_NUMBER, SNAPSHOT, Stream
from adventure.core.zones import is_utc
from adventure.sources.postgres.access import refusal
from adventure.sources.postgres.log.access import read_access
from adventure.sources.postgres.plan import plan_stream
from adventure.sources.postgres.relations import read_relations
from adventure.sources.postgres.rows import Connection
from adventure.sources.postgres.sampling import read_growing
from adventure.sources.proposal import Proposal, ProposedColumn, Unmovable, is_name_of_cursor

_MANY_ROWS = 1_000_000
"""From here on, a table is not compared whole if it has a column that could be a cursor."""
_MANY_TO_COMPARE = 100_000
"""From here on, a table is compared once in `_INTERVAL_SEC`."""
_INTERVAL_SEC = 3600
_OWN_TABLE = "adventure_watermarks"

# Partitions and children are read with their parent, and tables of extensions belong to them.
_TABLES = """
select
    c.oid, n.nspname, c.relname, c.relkind::text, greatest(c.reltuples, 0)::bigint,
    coalesce(obj_description(c.oid, 'pg_class'), ''),
    has_any_column_privilege(c.oid, 'select'),
    exists (select from pg_trigger as t
        where t.tgrelid = c.oid and not t.tgisinternal and t.tgenabled <> 'D' and t.tgtype::int & 16 = 16)
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f')
    and n.nspname not in ('information_schema') and n.nspname not like 'pg\\_%'
    and not exists (select from pg_inherits as i where i.inhrelid = c.oid)
    and not exists (
        select from pg_depend as d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
    )
order by n.nspname, c.relname
"""

_COLUMNS = """
select
    a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, coalesce(pg_get_expr(d.adbin, d.adrelid), ''),
    coalesce(col_description(a.attrelid, a.attnum), ''), has_column_privilege(a.attrelid, a.attnum, 'select'),
    exists (select from pg_index as i where i.indrelid = a.attrelid and i.indkey[0] = a.attnum and i.indpred is null),
    a.attidentity <> ''
from pg_attribute as a
left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""

# The index that is the replica identity, since the log names rows by it; else the primary key, else the shortest unique
# index over columns that cannot be NULL.
_KEY = """
select array_agg(a.attname::text order by k.place), i.indisprimary
from pg_index as i
cross join lateral unnest(i.indkey) with ordinality as k (attnum, place)
join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
where i.indrelid = %s and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
    and k.place <= i.indnkeyatts
group by i.indexrelid, i.indisprimary, i.indisreplident
having bool_and(a.attnotnull)
order by i.indisreplident desc, i.indisprimary desc, count(*), i.indexrelid
limit 1
"""

# Since the statistics were last reset. Partitions have their own.
_ACTIVITY = """
select coalesce(sum(s.n_tup_ins), 0)::bigint, coalesce(sum(s.n_tup_upd + s.n_tup_del), 0)::bigint
from (select %(table)s::regclass as relid union select relid from pg_partition_tree(%(table)s::regclass)) as tree
join pg_stat_all_tables as s on s.relid = tree.relid
"""

_ZONE = "select reset_val from pg_settings where name = 'TimeZone'"
_KINDS = {"v": "a view", "m": "a materialised view", "f": "a foreign table"}


def propose(connection: Connection, settings: Settings) -> Iterator[Proposal | Unmovable]:
    """Yield a proposal for each table that can be moved, and the reason for each relation that is left out.

    Raises:
        psycopg.Error: the server failed.
    """
    (zone,) = connection.execute(_ZONE).fetchone() or ("UTC",)
    for oid, namespace, table, kind, rows, comment, is_readable, has_trigger in connection.execute(_TABLES).fetchall():
        location = f"{namespace}.{table}"
        if table == _OWN_TABLE:
            continue
        if kind in _KINDS:
            yield Unmovable(location, f"{_KINDS[kind]}: read the tables behind it, or add a stream by hand")
            continue
        columns, key, why = _described(connection, oid)
        if not columns:
            yield Unmovable(location, "it has no columns")
        elif not is_readable:
            role = quoted(settings.postgres_user)
            yield Unmovable(location, f"the role may not read it: grant select on {quoted(namespace, table)} to {role}")
        else:
            found = _Table(namespace, table, rows, has_trigger, comment, columns, key, why)
            yield _proposal(connection, settings, found, str(zone))


class _Column(NamedTuple):
    name: str
    type: str
    not_null: bool
    default: str
    comment: str
    is_readable: bool
    is_indexed: bool
    is_identity: bool


class _Table(NamedTuple):
    """What the catalogue says of a table."""

    namespace: str
    name: str
    rows: int
    """As the last ANALYZE estimated."""
    has_trigger: bool
    """A trigger runs on updates."""
    comment: str
    columns: list[_Column]
    key: tuple[str, ...]
    key_reason: str


def _described(connection: Connection, oid: int) -> tuple[list[_Column], tuple[str, ...], str]:
    columns = [_Column(*row) for row in connection.execute(_COLUMNS, [oid]).fetchall()]
    found = connection.execute(_KEY, [oid]).fetchone()
    if found is None:
        return columns, (), "no primary key, and no unique index without NULL: a change replaces the raw table whole"
    names, is_primary = found
    return columns, tuple(names), "the primary key" if is_primary else "a unique index whose columns are never NULL"


def _proposal(connection: Connection, settings: Settings, table: _Table, zone: str) -> Proposal | Unmovable:
    """Return the first way of reading the table that the processor accepts, or why there is none."""
    made = _by_cursor(connection, table, zone)
    if isinstance(made, Proposal):
        refused = _refusal(connection, made, settings.postgres_user)
        if refused is None:
            return made
        made = refused.problem
    by_log = _by_log(connection, table, settings, made)
    if isinstance(by_log, Proposal):
        return by_log
    by_id = _by_id(connection, table)
    if by_id and _refusal(connection, by_id, settings.postgres_user) is None:
        return by_id
    whole = _whole(table, f"{made}. The log cannot be read: {by_log}" if table.key else made)
    if refused := _refusal(connection, whole, settings.postgres_user):
        problem = refused.problem.removeprefix("stream proposed: ")
        return Unmovable(whole.location, f"{problem}. {refused.remedy}" if refused.remedy else problem)
    return whole


def _by_cursor(connection: Connection, table: _Table, zone: str) -> Proposal | str:
    """Return the proposal to read new rows by a cursor, or why there is none."""
    if not table.key:
        return "without a key, the table is read whole"
    found = [each for each in table.columns if is_name_of_cursor(each.name) and each.type.startswith("timestamp")]
    if not found:
        return "no timestamp column is named like updated_at or last_modified"
    # An index makes each cycle cheap. A timestamp with a zone needs no further key.
    cursor = min(found, key=lambda each: (not each.is_indexed, "with time zone" not in each.type))
    if not table.has_trigger and table.rows < _MANY_ROWS:
        return (
            f"no trigger runs on updates, so that the application must set {cursor.name} each time. If it does, write"
            f' cursor = "{cursor.name}" instead'
        )
    name = quoted(table.namespace, table.name)
    if not cursor.not_null:
        query = f"select exists (select from {name} where {quoted(cursor.name)} is null)"
        if connection.execute(query.encode()).fetchone() == (True,):
            return f"{cursor.name} is NULL in some rows, which a cursor would never read"
    reasons = {"cursor": _why(table, cursor)}
    options = {} if "with time zone" in cursor.type else _timezone(cursor, zone)
    if options:
        reasons["timezone"] = "as the column's default says" if "utc" in cursor.default.lower() else "the server's zone"
    return _made(table, cursor.name, options, reasons)


def _why(table: _Table, cursor: _Column) -> str:
    why = "a trigger runs on updates: check that it sets this column"
    if not table.has_trigger:
        why = f"about {table.rows:,} rows are too many to compare whole. The application must set it with each update"
    if not cursor.is_indexed:
        why += (
            f". No index begins with it: create index on {quoted(table.namespace, table.name)} ({quoted(cursor.name)})"
        )
    return why


def _timezone(cursor: _Column, zone: str) -> dict[str, str | int]:
    """Return the zone of a cursor without one: that of its default, else the server's; none if it is UTC anyway."""
    if re.search(r"at time zone 'utc'|timezone\('utc'", cursor.default, re.IGNORECASE):
        return {"timezone": "UTC"}
    return {} if is_utc(zone) else {"timezone": zone}


def _by_log(connection: Connection, table: _Table, settings: Settings, why: str) -> Proposal | str:
    """Return the proposal to read the rows that the server's log names, or why it cannot be read.

    Args:
        why: why there is no cursor.
    """
    if not table.key:
        return "it names rows by their key"
    publication = settings.postgres_publication
    reason = f"{why}. The log has each change and deletion: the table is in the publication {publication}"
    made = _made(table, None, {"mode": LOG}, {"mode": reason})
    if refused := _refusal(connection, made, settings.postgres_user):
        return refused.problem
    stream = _stream_of(made)
    access = read_access(connection, [stream], read_relations(connection, [stream]), publication)
    return access.whys.get(stream.name) or made


def _by_id(connection: Connection, table: _Table) -> Proposal | None:
    """Return the proposal to read new rows by their ids, if the table is large and only grows; else None."""
    if table.rows < _MANY_TO_COMPARE:
        return None
    inserted, changed = connection.execute(_ACTIVITY, {"table": quoted(table.namespace, table.name)}).fetchone() or (
        0,
        0,
    )
    if not inserted or changed:
        return None
    found = [each for each in table.columns if each.is_indexed and each.not_null and _is_handed_out(each)]
    for each in sorted(found, key=lambda each: each.name not in table.key):
        if table.key:
            why = (
                f"about {table.rows:,} rows, of which the server has counted no update and no deletion. If rows change,"
                f' write mode = "{SNAPSHOT}"'
            )
            reasons = {"cursor": "the server hands out its values in growing order", "mode": why}
            return _made(table, each.name, {"mode": APPEND}, reasons)
    return None


def _is_handed_out(column: _Column) -> bool:
    return column.is_identity or column.default.startswith("nextval(") or "uuidv7" in column.default


def _whole(table: _Table, why: str) -> Proposal:
    options: dict[str, str | int] = {"mode": SNAPSHOT}
    reasons = {"mode": why}
    if table.rows >= _MANY_TO_COMPARE:
        options["interval"] = _INTERVAL_SEC
        reasons["interval"] = f"about {table.rows:,} rows: compare them once an hour"
    return _made(table, None, options, reasons)


def _made(table: _Table, cursor: str | None, options: dict[str, str | int], reasons: dict[str, str]) -> Proposal:
    columns = [ProposedColumn(each.name, each.type, comment=each.comment) for each in table.columns if each.is_readable]
    reasons = {"key": table.key_reason} | reasons
    return Proposal(
        "postgres", table.namespace, table.name, columns, table.key, cursor, options, reasons, table.comment
    )


def _refusal(connection: Connection, proposal: Proposal, role: str) -> SourceError | None:
    """Return why the processor would refuse the stream; None if it would not."""
    stream = _stream_of(proposal)
    relation = read_relations(connection, [stream]).get(stream.name)
    try:
        if relation is None:
            return SourceError(f"{proposal.location} was dropped")
        if refused := relation.refused or refusal(connection, stream, relation, role):
            return refused
        plan = plan_stream(connection, stream, utf8=True)
        if stream.is_append:
            read_growing(connection, plan, relation, Position(), ())
    except SourceError as error:
        return error
    return None


def _stream_of(proposal: Proposal) -> Stream:
    mode = proposal.options.get("mode")
    return Stream(
        "proposed",
        "postgres",
        proposal.namespace,
        proposal.table,
        READ_AT if mode else proposal.cursor or READ_AT,
        proposal.key or (ROW_NUMBER,),
        "proposed",
        "raw_ext.proposed_raw",
        mode=str(mode) if mode else None,
        append_by=proposal.cursor if mode == APPEND else None,
    )
