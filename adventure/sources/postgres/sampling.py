"""Find out up to which id a table that only grows may be read, for `mode = "append"`.

Ids are handed out before their rows commit: a transaction may take 7, another one take and commit 8, and the first one
commit later. Each cycle therefore samples how far ids were handed out, and then which transactions may still hold lower
ones. When none of these is open any more, all rows below the sample have committed, or never will.

A transaction that took an id of a sequence holds a lock on the sequence until it ends, and one that wrote a row holds a
lock on the table. PostgreSQL releases these locks after the rows have become visible. A virtual transaction id is never
used twice, so that clocks play no part.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from adventure.core.errors import SourceError, SourceRefused, SourceShapeError
from adventure.core.ids import Kind, Position, Sample
from adventure.core.sql_text import quoted
from adventure.core.streams import Stream
from adventure.sources.postgres.growing import Connection, Growing, kind_of, uuid_at
from adventure.sources.postgres.plan import Plan
from adventure.sources.postgres.relations import Relation

_MOST_SAMPLES = 20

# A sequence that a default or an identity takes its values from.
_COLUMN = """
select
    a.attnotnull, a.atttypmod, coalesce(pg_get_expr(d.adbin, d.adrelid), ''), a.attidentity <> '', pg_is_in_recovery(),
    s.seqrelid, s.seqrelid::regclass::text, s.seqincrement, s.seqcache, s.seqcycle, s.seqstart,
    has_sequence_privilege(s.seqrelid, 'usage, select')
from pg_attribute as a
left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
left join lateral (
    select refobjid as oid from pg_depend
    where classid = 'pg_attrdef'::regclass and objid = d.oid and refclassid = 'pg_class'::regclass
    union
    select objid from pg_depend
    where classid = 'pg_class'::regclass and deptype = 'i'
        and refclassid = 'pg_class'::regclass and refobjid = a.attrelid and refobjsubid = a.attnum
) as used on true
left join pg_sequence as s on s.seqrelid = used.oid
where a.attrelid = %s and a.attname = %s
order by s.seqrelid nulls last
limit 1
"""

_LAST_VALUE = "select pg_sequence_last_value(%s::oid::regclass), clock_timestamp() at time zone 'utc'"
_CLOCK = "select clock_timestamp() at time zone 'utc'"

_HOLDERS = """
select distinct virtualtransaction from pg_locks
where locktype = 'relation' and relation = any(%s::oid[])
    and database = (select oid from pg_database where datname = current_database())
    and mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
"""


def read_growing(
    connection: Connection, plan: Plan, relation: Relation, position: Position, samples: Iterable[Sample]
) -> Growing:
    """Take this cycle's sample. Call it before the snapshot is taken, and outside of a transaction.

    Raises:
        SourceShapeError: the column is no column of ids that grow.
        SourceRefused: the role may not see how far the sequence is.
        psycopg.Error: the server failed.
    """
    stream, name = plan.stream, plan.stream.append_by or ""
    kind = kind_of(plan.type_names.get(name))
    if kind is None:
        raise _wrong(stream, f"is of type {plan.type_names.get(name) or 'its own'}, and not a whole number or a uuid")
    found = connection.execute(_COLUMN, [relation.root.oid, name]).fetchone() or ()
    not_null, typmod, default, is_identity, is_standby, oid, sequence, *rest = found
    if not not_null and relation.root.kind in "rp":
        raise _wrong(stream, "can be NULL", f"alter table {plan.table} alter column {quoted(name)} set not null")
    if plan.type_names[name] == "numeric" and (typmod < 0 or (typmod - 4) & 0x7FF):
        raise _wrong(stream, "is a numeric that can have decimals")
    if not is_identity and not re.fullmatch(r"nextval\('.*'::regclass\)", default):
        oid = None
    if oid is not None:
        _check_sequence(connection, stream, sequence, *rest)
    highest = _highest(connection, plan, kind, name)
    growing = _sampled(connection, plan, relation, kind, oid, highest, rest[3] if oid else 1)
    current = growing.samples[-1].below if growing.samples else None
    if oid and current is not None and position.below is not None and current < position.below:
        raise _set_back(stream, sequence, current, kind, position.below)
    # Samples above a sequence that was set back say nothing.
    low = position.below
    kept = tuple(s for s in samples if current is not None and s.below <= current and (low is None or s.below > low))
    return Growing(
        stream,
        kind,
        quoted(name),
        sequence if oid else None,
        _unsure(relation, kind, default, is_standby=is_standby, has_sequence=bool(oid)),
        _thinned((*kept, *growing.samples)),
        _note(kind, growing, highest, position, sequence if oid else None, plan),
        growing.now,
        growing.clock,
    )


def _sampled(
    connection: Connection, plan: Plan, relation: Relation, kind: Kind, oid: int | None, highest: int | None, start: int
) -> Growing:
    """Read how far ids were handed out, and only then who may hold lower ones."""
    if oid is None:
        (clock,) = connection.execute(_CLOCK).fetchone() or (datetime.min,)
        below = None if highest is None else highest + 1
    else:
        last, clock = connection.execute(_LAST_VALUE, [oid]).fetchone() or (None, datetime.min)
        below = start if last is None else last + 1
    oids = [member.oid for member in relation.members] + ([oid] if oid else [])
    holders = tuple(sorted(each for (each,) in connection.execute(_HOLDERS, [oids]).fetchall()))
    samples = () if below is None or kind.is_uuid else (Sample(clock, below, holders),)
    return Growing(plan.stream, kind, "", None, None, samples, now=frozenset(holders), clock=clock)


def _highest(connection: Connection, plan: Plan, kind: Kind, name: str) -> int | None:
    column = f"t.{quoted(name)}"
    number = f" where {column} < 'NaN'" if plan.type_names[name] == "numeric" else ""
    # Not max(): it knows no uuid before version 18.
    query = f"select {column} from {plan.table} as t{number} order by {column} desc limit 1"
    found = connection.execute(query.encode()).fetchone()
    return kind.number(found[0]) if found and found[0] is not None else None


def _check_sequence(
    connection: Connection,
    stream: Stream,
    sequence: str,
    increment: int,
    cache: int,
    cycles: bool,
    _start: int,
    is_readable: bool,
) -> None:
    if increment < 1 or cycles:
        what = "counts down" if increment < 1 else "begins again after its last value"
        raise _wrong(stream, f"takes its values from the sequence {sequence}, which {what}")
    if cache > 1:
        raise _wrong(
            stream,
            f"takes its values from the sequence {sequence}, of which each session takes {cache:,} at a time, so that"
            " lower ids are used after higher ones",
            f"alter sequence {sequence} cache 1, and let the writers connect again",
        )
    if not is_readable:
        role = quoted(connection.info.user)
        raise SourceRefused(
            f"stream {stream.name}: the role may not see how far the sequence {sequence} is",
            f"grant select on sequence {sequence} to {role}",
        )


def _unsure(relation: Relation, kind: Kind, default: str, *, is_standby: bool, has_sequence: bool) -> str | None:
    if relation.unsure:
        return relation.unsure
    if is_standby:
        return "the server is a standby, which does not see the primary's transactions"
    if kind.is_uuid:
        return None if "uuid" in default else "the clients make the ids"
    return None if has_sequence else "no sequence hands out the ids"


def _note(
    kind: Kind, growing: Growing, highest: int | None, position: Position, sequence: str | None, plan: Plan
) -> str:
    """Return a sentence about rows that wait or may be missed; empty if there are none."""
    if highest is None:
        return ""
    if kind.is_uuid:
        if (highest >> 76) & 0xF != 7:
            raise _wrong(plan.stream, f"has the value {kind.text(highest)}, which is no UUID of version 7")
        if position.below is not None and position.below > uuid_at(growing.clock):
            return (
                "the server's clock was set back behind ids that were read: run"
                f" `adventure reconcile {plan.stream.name}` when it is past them"
            )
        future = highest >= uuid_at(growing.clock + timedelta(seconds=1))
        return f"the id {kind.text(highest)} is of a later time: it waits until the clock is past it" if future else ""
    if sequence and growing.samples and highest >= growing.samples[-1].below:
        last = growing.samples[-1].below - 1
        return (
            f"the id {highest} is above {last}, the last value of the sequence {sequence}: rows above it wait until the"
            f" sequence is past them. select setval('{sequence}', {highest})"
        )
    return ""


def _thinned(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """Return the samples, without every second one of the older ones if they are many.

    The oldest stays: under transactions that last longer than all samples, none would ever be over.
    """
    if len(samples) <= _MOST_SAMPLES:
        return tuple(samples)
    return (*samples[:-4:2], *samples[-4:])


def _set_back(stream: Stream, sequence: str, current: int, kind: Kind, below: int) -> SourceError:
    return SourceShapeError(
        f"stream {stream.name}: the sequence {sequence} was set back to {current - 1:,}, and the rows below"
        f" {kind.text(below)} were read: rows with the same ids again would be missed",
        f"select setval('{sequence}', {below - 1}); or run `adventure stream reset {stream.name}`, which"
        " reads the table again from its beginning",
    )


def _wrong(stream: Stream, what: str, remedy: str = "") -> SourceError:
    return SourceShapeError(
        f"stream {stream.name}: its cursor {stream.append_by} {what}",
        f'{remedy or "Name another cursor"}; or write mode = "snapshot"',
    )
