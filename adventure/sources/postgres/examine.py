"""Examine a PostgreSQL source for `adventure doctor`: the server, the role, and each stream's table."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from adventure.core.clock import utc_now
from adventure.core.errors import SourceError
from adventure.core.ids import Position
from adventure.core.kinds import SOURCES
from adventure.core.sql_text import quoted
from adventure.core.streams import Stream
from adventure.sources.postgres.access import no_table, refusal
from adventure.sources.postgres.horizon import Horizon, read_horizon
from adventure.sources.postgres.log.access import LogAccess, chosen, read_access
from adventure.sources.postgres.plan import Plan, check_reference, is_indexed, plan_stream
from adventure.sources.postgres.relations import Relation, read_relations
from adventure.sources.postgres.rows import Connection
from adventure.sources.postgres.sampling import read_growing
from adventure.sources.probe import Finding

_CLOCK_OFF = timedelta(seconds=5)

_SERVER = """
select current_setting('server_version'), current_database(), pg_is_in_recovery(), current_setting('wal_level'),
    coalesce((select rolreplication or rolsuper from pg_roles where rolname = current_user), false)
"""

_UPDATE_TRIGGER = """
select exists (
    select from pg_trigger where tgrelid = %s and not tgisinternal and tgenabled <> 'D' and tgtype::int & 16 = 16
)
"""


def examine(
    connection: Connection, streams: Sequence[Stream], role: str, publication: str, label: str
) -> Iterator[Finding]:
    """Yield findings; see `Probe`.

    Args:
        role: the role that reads.
        publication: the publication of the tables that are read by the log.
        label: how findings name the source.

    Raises:
        psycopg.Error: the server failed.
    """
    yield from _server(connection, label)
    yield from _horizon(read_horizon(connection, 0), label)
    relations = read_relations(connection, streams)
    by_choice = [stream for stream in streams if stream.is_auto and stream.name in relations]
    access = read_access(connection, by_choice, relations, publication) if by_choice else LogAccess({})
    streams = [chosen(stream, access.whys.get(stream.name)) for stream in streams]
    plans: dict[str, Plan] = {}
    for stream in streams:
        relation = relations.get(stream.name)
        try:
            if relation is None:
                raise no_table(connection, stream)
            if refused := relation.refused or refusal(connection, stream, relation, role):
                raise refused
            plans[stream.name] = plan = plan_stream(connection, stream, utf8=True)
            for parent in filter(plans.get, stream.references):
                check_reference(plan, plans[parent])
            yield from _table(connection, plan, relation)
            if left := access.reasons.get(stream.name):
                # The remedies that name another mode are for streams that ask for the log.
                fix = "" if "mode = " in (left.remedy or "") else left.remedy or ""
                yield Finding("ok", stream.name, f"it is not read by the log: {stream.mode_reason}", fix)
        except SourceError as error:
            yield Finding("error", stream.name, error.problem, error.remedy)
    by_log = [plan.stream for plan in plans.values() if plan.stream.is_log]
    if by_log:
        yield from _log(connection, by_log, relations, publication)


def _server(connection: Connection, label: str) -> Iterator[Finding]:
    version, database, is_standby, wal_level, may_replicate = connection.execute(_SERVER).fetchone() or ()
    kind = "standby" if is_standby else "server"
    yield Finding("ok", label, f"{kind} of version {version}, database {database}")
    replication = "has" if may_replicate else "lacks"
    yield Finding("ok", label, f"wal_level is {wal_level}, and the role {replication} REPLICATION")


def _horizon(horizon: Horizon, label: str) -> Iterator[Finding]:
    offset = abs(horizon.clock - utc_now())
    if offset > _CLOCK_OFF:
        yield Finding(
            "warning",
            label,
            f"its clock and this machine's differ by {offset.total_seconds():,.0f} s",
            "Synchronise both clocks: ages in `adventure status` are wrong",
        )
    if horizon.unknown_reason:
        remedy = SOURCES["postgres"].lookback_remedy or ""
        yield Finding("warning", label, f"open transactions are unknown: {horizon.unknown_reason}", remedy)
    else:
        yield Finding(
            "ok", label, f"open transactions are visible; the oldest is {horizon.age.total_seconds():,.1f} s old"
        )


def _log(
    connection: Connection, streams: Sequence[Stream], relations: Mapping[str, Relation], publication: str
) -> Iterator[Finding]:
    reasons = read_access(connection, streams, relations, publication).reasons
    for stream in streams:
        if reason := reasons.get(stream.name):
            yield Finding("error", stream.name, reason.problem, reason.remedy)
        else:
            key = ", ".join(stream.key)
            yield Finding("ok", stream.name, f"{stream.location} is read by the log, by the key {key}")


def _append(connection: Connection, plan: Plan, relation: Relation) -> Iterator[Finding]:
    stream = plan.stream
    growing = read_growing(connection, plan, relation, Position(), ())
    by = f"of the sequence {growing.sequence}" if growing.sequence else plan.type_names[stream.append_by or ""]
    yield Finding("ok", stream.name, f"{stream.location}, by new values of {stream.append_by} ({by})")
    if growing.unsure:
        yield Finding(
            "warning",
            stream.name,
            f"{growing.unsure}: lower ids may commit after higher ones",
            f"Set lookback of streams.{stream.name} to the longest time between making an id and its commit",
        )
    if growing.note:
        yield Finding("warning", stream.name, growing.note, "Set the sequence, or correct the rows")
    if relation.root.kind in "rp" and not is_indexed(connection, plan.table, stream.append_by or ""):
        yield Finding(
            "warning",
            stream.name,
            f"no index begins with {stream.append_by}: every cycle reads the whole table",
            f"create index on {plan.table} ({quoted(stream.append_by or '')})",
        )


def _table(connection: Connection, plan: Plan, relation: Relation) -> Iterator[Finding]:
    stream = plan.stream
    if stream.is_snapshot:
        key = "without a key: replaced whole" if stream.is_replaced else f"by the key {', '.join(stream.key)}"
        yield Finding("ok", stream.name, f"{stream.location} is compared whole, {key}")
    elif stream.is_append:
        yield from _append(connection, plan, relation)
    elif not stream.is_log:
        kind = plan.type_names[stream.cursor]
        yield Finding("ok", stream.name, f"{stream.location}, by the cursor {stream.cursor} ({kind})")
        if not plan.indexed and relation.root.kind in "rp":
            yield Finding(
                "warning",
                stream.name,
                f"no index begins with {stream.cursor}: every cycle reads the whole table",
                f"create index on {plan.table} ({quoted(stream.cursor)})",
            )
        if relation.unsure:
            yield Finding(
                "warning", stream.name, relation.unsure, f"Set lookback of streams.{stream.name} to the longest delay"
            )
        if relation.root.kind in "rp" and connection.execute(_UPDATE_TRIGGER, [relation.root.oid]).fetchone() == (
            False,
        ):
            yield Finding(
                "ok", stream.name, f"no trigger runs on updates: the application sets {stream.cursor} with each of them"
            )
    if plan.left_out:
        yield Finding(
            "warning",
            stream.name,
            f"the role may not read {', '.join(plan.left_out)}: left out",
            f"Name them under exclude of streams.{stream.name}, or grant select on them",
        )
    for column in plan.nullable_key:
        query = f"select exists (select from {plan.relation} as t where t.{quoted(column.name)} is null)"
        if connection.execute(query.encode()).fetchone() == (True,):
            yield Finding(
                "warning",
                stream.name,
                f"its key {column.name} is NULL in some rows, which are rejected",
                "Choose a key without NULL",
            )
