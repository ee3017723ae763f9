"""Find out what kind of relation a stream reads, and whether the horizon holds for its rows.

The horizon covers rows that transactions of this server write into tables. Rows can appear below it in other ways: a
partition is attached, a materialised view is refreshed, a subscription delivers rows, a view joins them. A relation
that was attached since the last window is read whole. If rows may appear at any time, the stream needs a lookback, or
is refused.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg

from adventure.core.errors import SourceError, SourceShapeError
from adventure.core.streams import Stream

_KINDS = {
    "r": "a table",
    "p": "a partitioned table",
    "v": "a view",
    "m": "a materialised view",
    "f": "a foreign table",
    "S": "a sequence",
    "i": "an index",
    "I": "an index",
    "c": "a composite type",
    "t": "a TOAST table",
}
_READABLE = "rpvmf"

# Each stream's relation and all relations that its rows come from: partitions, children, and the relations below views.
# `part` changes when a relation is attached, replaced or redefined, or when a subscription copies it again.
_RELATIONS = """
with recursive roots as (
    select s.name, c.oid
    from unnest(%(names)s::text[], %(schemas)s::text[], %(tables)s::text[]) as s (name, schema, tbl)
    join pg_namespace as n on n.nspname = s.schema
    join pg_class as c on c.relnamespace = n.oid and c.relname = s.tbl
),
below (name, parent, oid, version) as (
    select name, null::oid, oid, null::text from roots
    union
    select below.name, below.oid, found.oid, found.version
    from below
    cross join lateral (
        select i.inhrelid, i.xmin::text from pg_inherits as i where i.inhparent = below.oid
        union all
        select d.refobjid, null
        from pg_rewrite as r
        join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
            and d.refclassid = 'pg_class'::regclass and d.refobjid <> r.ev_class
        join pg_class as v on v.oid = r.ev_class and v.relkind = 'v'
        where r.ev_class = below.oid
    ) as found (oid, version)
)
select
    below.name,
    below.parent,
    below.oid,
    c.relkind::text,
    c.relnamespace::regnamespace || '.' || quote_ident(c.relname),
    concat_ws('.', below.oid, below.version, rule.version, s.srsubid, s.srsublsn),
    s.srsubstate::text,
    s.subname,
    coalesce(rule.asks, false),
    below.parent is not null or has_table_privilege(below.oid, 'select')
from below
-- Look up relations one by one, because a database may have many and a stream has few.
cross join lateral (select * from pg_class where oid = below.oid offset 0) as c
left join lateral (
    select xmin::text as version, ev_action::text like '%%:hasSubLinks true%%' as asks
    from pg_rewrite where ev_class = below.oid and rulename = '_RETURN' and c.relkind = 'v' offset 0
) as rule on true
left join (
    select sr.srrelid, sr.srsubid, sr.srsublsn, sr.srsubstate, sub.subname
    from pg_subscription_rel as sr join pg_subscription as sub on sub.oid = sr.srsubid
) as s on s.srrelid = below.oid
"""

# An updatable view shows the rows of one table, one by one; an updatable column of it is a column of that table.
_ROW_BY_ROW = """
select
    pg_relation_is_updatable(c.oid, false) & 16 = 16
    and coalesce(pg_column_is_updatable(c.oid, a.attnum, false), true)
from pg_class as c left join pg_attribute as a on a.attrelid = c.oid and a.attname = %s
where c.oid = %s
"""

_CONSTRAINTS = "select oid, pg_get_partition_constraintdef(oid) from unnest(%s::oid[]) as oid"


class Member(NamedTuple):
    """A row of the query `_RELATIONS`."""

    stream: str
    parent: int | None
    oid: int
    kind: str
    name: str
    part: str
    subscribed: str | None
    """The state of the subscription that fills the relation; `r` once it follows its publisher."""
    subscription: str | None
    asks: bool
    """Whether the relation is a view with a sub-query, which may read other rows."""
    readable: bool
    """Whether the role has SELECT on the stream's whole relation, which LOCK TABLE requires."""


@dataclass(frozen=True)
class Relation:
    """The relation that a stream reads."""

    refused: SourceError | None
    """Why it cannot be read; None if it can."""
    unsure: str | None
    """Why rows may appear below the horizon; None when none can."""
    members: tuple[Member, ...] = field(repr=False)
    """The stream's own relation, followed by all relations that its rows come from."""

    @property
    def root(self) -> Member:
        """The stream's own relation."""
        return self.members[0]

    @property
    def lockable(self) -> bool:
        """Whether LOCK TABLE can lock it."""
        return self.root.kind in "rpv" and self.root.readable

    @property
    def position(self) -> str:
        """Text that the watermark keeps: all relations that the rows come from. In the next window, others are new."""
        return " ".join(sorted({member.part for member in self.members}))

    def new_since(self, position: str | None) -> "list[Member]":
        """Return the relations attached, replaced or copied since the window with this position, and all below them."""
        if position is None:
            return []
        known = set(position.split())
        new = {member.oid for member in self.members if member.part not in known}
        count = -1
        while count != len(new):
            count = len(new)
            new |= {member.oid for member in self.members if member.parent in new}
        return [member for member in self.members if member.oid in new]


def read_relations(connection: psycopg.Connection[tuple[Any, ...]], streams: Sequence[Stream]) -> dict[str, Relation]:
    """Return the relation of each stream, by its name. A stream whose relation does not exist is left out.

    Raises:
        psycopg.Error: the server failed.
    """
    values = {
        "names": [stream.name for stream in streams],
        "schemas": [stream.namespace for stream in streams],
        "tables": [stream.table for stream in streams],
    }
    members = [Member(*row) for row in connection.execute(_RELATIONS, values, prepare=True).fetchall()]
    found = {}
    for stream in streams:
        own = sorted((each for each in members if each.stream == stream.name), key=lambda each: each.parent is not None)
        if own:
            found[stream.name] = Relation(_refusal(stream, own), _unsure(connection, stream, own), tuple(own))
    return found


def _refusal(stream: Stream, members: Sequence[Member]) -> SourceError | None:
    root = members[0]
    if root.kind not in _READABLE:
        return SourceShapeError(
            f"stream {stream.name}: {stream.location} is {_KINDS.get(root.kind, 'no table')}",
            "Name a table or a view in pipeline.toml",
        )
    for member in members:
        if member.subscribed not in (None, "r"):
            return SourceError(
                f"stream {stream.name} waits: the subscription {member.subscription} still copies {member.name}",
                "No action is needed: it is read when the copy is done; see pg_subscription_rel",
            )
    if not stream.lookback and not stream.has_read_at and (kept := _first(members, "m")):
        return SourceShapeError(
            f"stream {stream.name}: the rows of the materialised view {kept.name} appear when it is refreshed, under"
            " older cursors",
            f"Read the tables below it, or set lookback of streams.{stream.name} to more than the time between two"
            " refreshes",
        )
    return None


def _unsure(connection: psycopg.Connection[tuple[Any, ...]], stream: Stream, members: Sequence[Member]) -> str | None:
    if kept := _first(members, "m"):
        return f"the rows of the materialised view {kept.name} appear when it is refreshed"
    if foreign := _first(members, "f"):
        return f"the open transactions at the server of the foreign table {foreign.name} are unknown"
    for member in members:
        if member.subscription:
            return (
                f"the subscription {member.subscription} brings the rows of {member.name} later than their cursors say"
            )
    root = members[0]
    if root.kind == "v" and (
        len(_sources(members)) != 1
        or any(member.asks for member in members)
        or connection.execute(_ROW_BY_ROW, [stream.cursor, root.oid]).fetchone() != (True,)
    ):
        return f"the view {root.name} joins, groups or computes, so that a row may appear under an older cursor"
    return None


def rows_in(
    connection: psycopg.Connection[tuple[Any, ...]], relation: Relation, new: Sequence[Member]
) -> Callable[[str], str]:
    """Return a function from a table alias to the condition that a row lies in these members.

    Raises:
        psycopg.Error: the server failed.
    """
    if relation.root.kind == "v" or relation.root in new:
        return lambda _: "true"
    oids = sorted({member.oid for member in new})
    found = connection.execute(_CONSTRAINTS, [oids]).fetchall()
    # With the constraint, the planner can skip all other partitions.
    parts = [(oid, f" and {constraint}" if constraint else "") for oid, constraint in found]
    return lambda alias: f"({' or '.join(f'({alias}.tableoid = {oid}{constraint})' for oid, constraint in parts)})"


def _sources(members: Iterable[Member]) -> set[int]:
    """Return the relations that store a view's rows, without their partitions and children."""
    views = {member.oid for member in members if member.kind == "v"}
    return {member.oid for member in members if member.kind != "v" and member.parent in views}


def _first(members: Sequence[Member], kind: str) -> Member | None:
    return next((member for member in members if member.kind == kind), None)
