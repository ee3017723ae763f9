"""What whoever runs the processor should know of a PostgreSQL source: said in the log once, not in every cycle."""

from collections.abc import Callable
from typing import Any

import psycopg

from adventure.core.log import get_logger
from adventure.sources.postgres.horizon import FALLBACK_LOOKBACK, STALLED, Horizon
from adventure.sources.postgres.plan import Plan, quoted

log = get_logger()


class Notices:
    """Remembers what was said."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def of_horizon(self, horizon: Horizon, holder: Callable[[], str | None]) -> None:
        """Where it is unknown or stalled.

        Args:
            holder: finds the session that holds it back.
        """
        if horizon.blind and horizon.blind not in self._warned:
            self._warned.add(horizon.blind)
            log.warning(
                f"postgres: {horizon.blind}, so how late rows may still commit is unknown: each window reads again"
                f" {FALLBACK_LOOKBACK.total_seconds():.0f} s below the watermark (or the stream's lookback)"
            )
        if horizon.age <= STALLED:
            self._warned.discard("stalled")
        elif "stalled" not in self._warned and (session := holder()):
            self._warned.add("stalled")
            log.warning(
                f"postgres: the horizon is {horizon.age.total_seconds():.0f} s old: {session} has had a transaction"
                " open since; newer rows wait until it ends"
            )

    def of_zone(self, plan: Plan, doubt: str | None) -> None:
        """Of rows that are written in another zone than the stream names, once."""
        name = f"{plan.stream.name}: zone"
        if doubt and name not in self._warned:
            self._warned.add(name)
            log.warning(f"{plan.stream.name}: {doubt}", stream=plan.stream.name)

    def of_plan(self, plan: Plan, asking: psycopg.Connection[tuple[Any, ...]]) -> None:
        """Of a cursor without an index once, of rows that no window will hold each time that their number changes."""
        stream = plan.stream
        if not plan.indexed:
            if stream.name not in self._warned:
                self._warned.add(stream.name)
                log.warning(
                    f"{stream.name}: {stream.location} has no index on {stream.cursor}: every cycle reads the whole"
                    f" table. create index on {plan.table} ({quoted(stream.cursor)})",
                    stream=stream.name,
                )
            return
        found = asking.execute(f"select count(*) from {plan.table} as t where {plan.in_no_window}".encode()).fetchone()
        (count,) = found or (0,)
        if count and f"{stream.name}: {count}" not in self._warned:
            self._warned.add(f"{stream.name}: {count}")
            log.warning(
                f"{stream.name}: {count:,} rows have no cursor ({stream.cursor} is NULL or infinite): no window will"
                " bring them until they are given one",
                stream=stream.name,
                rows=count,
            )
