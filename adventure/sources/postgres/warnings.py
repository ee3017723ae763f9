"""Operator warnings about a PostgreSQL source, logged once rather than in every cycle."""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import psycopg

from adventure.core.log import get_logger
from adventure.core.sql_text import quoted
from adventure.core.streams import Stream
from adventure.sources.postgres.horizon import FALLBACK_LOOKBACK, STALLED, Horizon
from adventure.sources.postgres.plan import Plan
from adventure.sources.postgres.relations import Member, Relation

log = get_logger()

FUTURE = "rows dated in the future"
"""The name of the note, in the log and in window.json."""

_LONG = timedelta(seconds=2)
"""A transaction that is open for longer is named as the reason why rows wait."""

LOOK_SEC = 60.0
"""The shortest time between two full scans of a table for a warning about its rows."""

_ANY_INDEX = """
select exists (
    select from pg_index as i
    join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = any(%s::oid[]) and a.attname = %s and i.indisvalid and i.indpred is null
)
"""


class WarningLog:
    """Logs the warnings of one source, each of them once.

    Args:
        label: how the warnings name the source.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._warned: set[str] = set()
        self._look_at: dict[str, float] = {}

    def of_horizon(self, horizon: Horizon, blocking: Callable[[], str | None]) -> None:
        """Warn if the horizon is unknown or stalled.

        Args:
            blocking: finds the session that holds it back.
        """
        if horizon.unknown_reason and horizon.unknown_reason not in self._warned:
            self._warned.add(horizon.unknown_reason)
            log.warning(
                f"{self._label}: {horizon.unknown_reason}, so how late rows may still commit is unknown: each window"
                f" reads again {FALLBACK_LOOKBACK.total_seconds():.0f} s below the watermark (or the stream's lookback)"
            )
        if horizon.age <= STALLED:
            self._warned.discard("stalled")
        elif "stalled" not in self._warned and (session := blocking()):
            self._warned.add("stalled")
            log.warning(
                f"{self._label}: the horizon is {horizon.age.total_seconds():.0f} s old: {session} has been in one"
                " transaction or statement since; newer rows wait until it ends"
            )

    def of_clock(self, stream: str, behind: timedelta | None, note: str) -> None:
        """Warn if the server's clock was set back.

        Args:
            behind: by how much, since the stream was last read; None if it was not.
            note: the text that the mode shows.
        """
        if behind:
            seconds = behind.total_seconds()
            log.warning(
                f"{stream}: the clock of the source database was set back by {seconds:,.1f} s, so that rows get times"
                f" which were read already.{note.partition(':')[2]}",
                stream=stream,
            )

    def of_zone(self, plan: Plan, doubt: str | None) -> None:
        """Warn once about rows that seem to be written in another zone than the stream's."""
        if doubt and self._once(f"{plan.stream.name}: zone"):
            log.warning(f"{plan.stream.name}: {doubt}", stream=plan.stream.name)

    def of_doubt(self, plan: Plan, horizon: Horizon) -> None:
        """Warn once if a transaction that is open for long keeps rows waiting because no row has shown their zone."""
        name = plan.stream.name
        if horizon.age > _LONG and self._once(f"{name}: doubt"):
            log.warning(
                f"{name}: {plan.stream.cursor} has no time zone, and no row shows yet that it holds UTC. While a"
                f" transaction is open (one is for {horizon.age.total_seconds():.0f} s), rows newer than 14.5 hours may"
                " wait. Name the timezone of the stream in pipeline.toml, and they do not",
                stream=name,
            )

    def of_plan(self, plan: Plan, relation: Relation, asking: psycopg.Connection[tuple[Any, ...]]) -> None:
        """Warn once if rows may be late or an index is missing; warn about rows without a cursor for each new count."""
        stream = plan.stream
        if relation.unsure and self._once(f"{stream.name}: {relation.unsure}"):
            lookback = max(stream.lookback, FALLBACK_LOOKBACK).total_seconds()
            log.warning(
                f"{stream.name}: {relation.unsure}. Each window reads again {lookback:.0f} s below the watermark; a row"
                " that appears later than that is missed",
                stream=stream.name,
            )
        if (
            not plan.indexed
            and self._once(f"{stream.name}: index")
            and (advice := _index_advice(plan, relation, asking))
        ):
            log.warning(f"{stream.name}: {advice}", stream=stream.name)
        if not plan.indexed and not self.looks_now(plan, "no cursor"):
            return
        found = asking.execute(
            f"select count(*) from {plan.relation} as t where {plan.in_no_window}".encode()
        ).fetchone()
        (count,) = found or (0,)
        if count and self._once(f"{stream.name}: {count} without"):
            log.warning(
                f"{stream.name}: {count:,} rows have no cursor ({stream.cursor} is NULL or infinite): they are not"
                " staged until they get one",
                stream=stream.name,
                rows=count,
            )

    def of_left_out(self, plan: Plan) -> None:
        """Warn once about columns that the role may not read."""
        names = ", ".join(plan.left_out)
        if names and self._once(f"{plan.stream.name}: leaves out {names}"):
            log.warning(
                f"{plan.stream.name}: leaves out {names} of {plan.stream.location}, which the role may not read. Name"
                " them under exclude in pipeline.toml, or grant SELECT on them",
                stream=plan.stream.name,
            )

    def of_attached(self, stream: Stream, new: Sequence[Member]) -> None:
        """Log which relations were attached or changed, so that their rows below the watermark are read too."""
        names = ", ".join(sorted({member.name for member in new}))
        if self._once(f"{stream.name}: {' '.join(sorted(member.part for member in new))}"):
            log.info(
                f"{stream.name}: added or changed since the last window: {names}. Rows below the watermark are read,"
                " too",
                stream=stream.name,
            )

    def of_future(self, plan: Plan, future: str) -> None:
        """Warn about rows dated in the future, for a cycle without a window to note them."""
        name = plan.stream.name
        if future and self._once(f"{name}: {FUTURE}: {future}"):
            log.warning(f"{name}: {FUTURE}: {future}", stream=name)

    def of_growing(self, stream: Stream, what: str, note: str) -> None:
        """Warn once about rows of a growing table that are not read."""
        if note and self._once(f"{stream.name}: {note}"):
            log.warning(f"{stream.name}: {what}: {note}", stream=stream.name)

    def looks_now(self, plan: Plan, what: str) -> bool:
        """Return whether to look for something now: always with an index, once in LOOK_SEC if it takes a full scan."""
        if plan.indexed:
            return True
        name, now = f"{plan.stream.name}: {what}", time.monotonic()
        if now < self._look_at.get(name, now):
            return False
        self._look_at[name] = now + LOOK_SEC
        return True

    def _once(self, what: str) -> bool:
        """Return True the first time it is called with this text."""
        if what in self._warned:
            return False
        self._warned.add(what)
        return True


def rows_in_the_future(plan: Plan, asking: psycopg.Connection[tuple[Any, ...]]) -> str:
    """Return the note about rows with a cursor past the clock; empty if there are none. They are late, not lost."""
    cursor = f"t.{quoted(plan.stream.cursor)}"
    now = f"statement_timestamp() at time zone '{plan.stream.zone}'" if plan.is_naive else "statement_timestamp()"
    # clock_timestamp() may change from row to row: PostgreSQL would look at each, and use no index.
    found = asking.execute(
        f"select count(*), max({cursor})::text from {plan.relation} as t"
        f" where {cursor} >= {now} + interval '1 second' + interval '{plan.step.total_seconds():f} s'"
        f" and {cursor} < 'infinity'".encode()
    ).fetchone()
    count, latest = found or (0, None)
    return f"{count:,}, up to {latest}: they wait until the clock is past them" if count else ""


def _index_advice(plan: Plan, relation: Relation, asking: psycopg.Connection[tuple[Any, ...]]) -> str | None:
    """Return advice on the index that a window needs to avoid a full scan; None if there may be one already."""
    stream, column = plan.stream, quoted(plan.stream.cursor)
    slow = f"has no index on {stream.cursor}: every cycle reads the whole table"
    if relation.root.kind == "f":
        return f"the foreign table {stream.location} {slow}, unless an index at its server begins with that column"
    if relation.root.kind != "v":
        return f"{stream.location} {slow}. create index on {plan.table} ({column})"
    below = [member for member in relation.members if member.kind != "v"]
    indexed = asking.execute(_ANY_INDEX, [[member.oid for member in below], stream.cursor]).fetchone()
    if indexed == (True,):
        return None
    names = ", ".join(sorted({member.name for member in below}))
    return (
        f"{stream.location} is a view, and no table below it ({names}) has an index on a column {stream.cursor}: every"
        " cycle reads all of it, unless the column from which the view takes its cursor has an index"
    )
