"""Answer the questions of `status` and `check` about a PostgreSQL source."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from psycopg import sql

from adventure.core.clock import earlier
from adventure.core.connect import translating_postgres
from adventure.core.settings import Settings
from adventure.core.streams import LOG, SNAPSHOT, Stream
from adventure.core.watermark import Origin, Watermark
from adventure.core.zones import to_utc
from adventure.sources.postgres.horizon import blocking_session, read_horizon
from adventure.sources.postgres.log.access import read_access
from adventure.sources.postgres.log.slot import find_slots, slot_prefix
from adventure.sources.postgres.origin import origin_query, read_origin
from adventure.sources.postgres.relations import read_relations
from adventure.sources.postgres.resolution import lag, lookback
from adventure.sources.postgres.rows import FIRST, Connection, SourceRows
from adventure.sources.postgres.session import open_session, source_name
from adventure.sources.probe import Finding, KeptLog, SourceCounts, Stall, Unread
from adventure.sources.proposal import Proposal, Unmovable


@dataclass
class PostgresProbe:
    """See `Probe`."""

    settings: Settings
    connection: Connection
    _origin: Origin | None = None

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, *, brief: bool = False) -> "Iterator[PostgresProbe]":
        """Connect."""
        with open_session(settings, brief=brief) as connection:
            yield cls(settings, connection)

    def counts(self, stream: Stream, mark: Watermark | None) -> SourceCounts:
        """Count the rows; see `Probe`."""
        with self._translating():
            rows = SourceRows.read(self.connection, stream, self.settings.postgres_user)
            if stream.is_auto:
                return replace(self._counts(rows, mark, stream), mode=self._mode(stream))
            return self._counts(rows, mark, stream)

    def _counts(self, rows: SourceRows, mark: Watermark | None, stream: Stream) -> SourceCounts:
        if mark is None:
            every = rows.count(self.connection)
            return SourceCounts(every, every)
        if stream.is_append:
            # Imports Arrow's types, which are slow to import.
            from adventure.sources.postgres.growing import unread

            return SourceCounts(*rows.counts(self.connection, sql.SQL(unread(self.connection, stream, mark) or "true")))
        # The next window also reads rows below the watermark, whose unit was not over at the last window.
        coarse = lookback(replace(stream, lookback=timedelta(0)), mark, horizon_unknown=False)
        return SourceCounts(*rows.counts(self.connection, rows.between(earlier(mark.value, coarse))))

    def _mode(self, stream: Stream) -> str:
        """Return how the next window reads the stream, as its watermark will say it."""
        relations = read_relations(self.connection, [stream])
        access = read_access(self.connection, [stream], relations, self.settings.postgres_publication)
        why_not = access.whys.get(stream.name)
        return f"{SNAPSHOT}: {why_not}" if why_not else LOG

    def unread(self, stream: Stream, mark: Watermark | None) -> Unread | None:
        """Return the lowest unread cursor; see `Probe`."""
        with self._translating():
            rows = SourceRows.read(self.connection, stream, self.settings.postgres_user)
            lowest = rows.lowest(self.connection, mark.value if mark else FIRST)
        if lowest is None:
            return None
        return Unread(lowest if rows.is_zoned else to_utc(lowest, stream.zone), lag(mark))

    def stall(self, older_than: timedelta) -> Stall | None:
        """Return the horizon and the session that holds it back; see `Probe`."""
        with self._translating():
            horizon = read_horizon(self.connection, 0)
            if horizon.age <= older_than:
                return None
            session = blocking_session(self.connection, 0) or "a session that has ended since"
        remedy = "End that session: select pg_terminate_backend(pid) as an administrator of the source"
        return Stall(horizon.age, session, remedy)

    def kept_log(self) -> KeptLog | None:
        """Return the replication slot that keeps most; see `Probe`."""
        with self._translating():
            slots = find_slots(self.connection, slot_prefix(self.settings))
        kept = max(slots, key=lambda slot: slot.lag, default=None)
        return KeptLog(kept.name, kept.lag, kept.safe) if kept else None

    def examine(self, streams: Sequence[Stream]) -> Iterator[Finding]:
        """Yield findings; see `Probe`."""
        from adventure.sources.postgres.examine import examine

        with self._translating():
            yield from examine(
                self.connection,
                streams,
                self.settings.postgres_user,
                self.settings.postgres_publication,
                source_name(self.settings).label,
            )

    def propose(self) -> "Iterator[Proposal | Unmovable]":
        """Yield proposals; see `Probe`."""
        # Only `adventure init` needs Arrow's types, which are slow to import.
        from adventure.sources.postgres.propose import propose

        with self._translating():
            yield from propose(self.connection, self.settings)

    def origin(self, stream: Stream) -> Origin:
        """Return the database, which all streams share."""
        if self._origin is None:
            with self._translating():
                self._origin = read_origin(self.connection, origin_query(self.connection))
        return self._origin

    def _translating(self) -> AbstractContextManager[None]:
        return translating_postgres(self.settings.postgres_dsn, source_name(self.settings))
