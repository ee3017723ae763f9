"""Check in which zone a cursor without a time zone is written, and compute how far it may be read there.

`timestamp` holds the wall clock of its writer. The stream's `timezone` names the zone of that clock. Without it we
assume UTC, and refuse the stream as soon as the server, the database, a role or the rows contradict that.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from adventure.core.clock import earlier
from adventure.core.errors import SourceShapeError
from adventure.core.watermark import Watermark
from adventure.core.zones import is_utc
from adventure.sources.postgres.horizon import MARGIN, Horizon
from adventure.sources.postgres.plan import Plan

Connection = psycopg.Connection[tuple[Any, ...]]

_QUARTER = timedelta(minutes=15)
"""Zones differ from UTC by whole quarters of an hour."""
_FARTHEST = timedelta(hours=14, minutes=30)
"""Zones differ from UTC by at most 14 hours."""

UNSEEN = "zone not seen yet"
"""The mode of a watermark whose stream was in doubt."""

_TICK = timedelta(microseconds=1)

_SLACK = timedelta(seconds=2)
"""How old the newest row may be and still count as just written, in addition to the time since the last look."""
_LONGEST_LOOK = timedelta(seconds=30)
"""The upper limit of the time since the last look."""
_BETWEEN_SCANS = timedelta(seconds=20)
"""The shortest time between two looks at a cursor without an index, each of which reads the whole table."""

_OWN_SETTING = "select reset_val, source from pg_settings where name = 'TimeZone'"

# Settings of new sessions: of the database, and of the roles that may write the table.
_SETTINGS = """
select case when s.setrole = 0 then null else r.rolname end, split_part(setting, '=', 2)
from pg_db_role_setting as s
cross join unnest(s.setconfig) as setting
left join pg_roles as r on r.oid = s.setrole
where setting ilike 'timezone=%%' and (s.setdatabase = 0 or s.setdatabase = (
        select oid from pg_database where datname = current_database()
    ))
    and (s.setrole = 0 or r.rolcanlogin and has_table_privilege(r.oid, to_regclass(%s), 'insert, update'))
"""

# The wall clock goes back when summer time ends. Rows written from now on are at or above the lowest wall clock time
# that is still ahead. Steps occur at whole minutes, and are at most three hours.
_EARLIEST_AHEAD = """
select least(
    timestamptz {moment} at time zone {zone},
    min(ahead at time zone {zone})
)
from generate_series(
    date_trunc('minute', timestamptz {moment}) + interval '1 minute',
    timestamptz {moment} + interval '4 hours',
    interval '1 minute'
) as ahead
"""

_NEWEST = """
select max({cursor}), clock_timestamp() at time zone {zone} from {table}
where {cursor} >= '0001-01-01' and {cursor} < '9999-01-01'
"""


def earliest_ahead(connection: Connection, moment: datetime, zone: str) -> datetime:
    """Return the lowest wall clock time of the zone from that moment (naive UTC) on. The server knows the zone's rules.

    When the clock shows the repeated hour for the first time, the result is the beginning of that hour.
    """
    if is_utc(zone):
        return moment
    query = sql.SQL(_EARLIEST_AHEAD).format(moment=sql.Literal(f"{moment}+00"), zone=sql.Literal(zone))
    (earliest,) = connection.execute(query).fetchone() or (None,)
    assert isinstance(earliest, datetime)
    return earliest


@dataclass(frozen=True)
class _Look:
    newest: datetime
    clock: datetime
    at: float
    """When we looked, by `time.monotonic`."""


@dataclass
class ZoneWatch:
    """Watches the zones of one source's cursors.

    Args:
        own_zone: the TimeZone that our session began with.
        own_source: where the server took it from, as in `pg_settings.source`.
    """

    own_zone: str
    own_source: str
    _looks: dict[str, _Look] = field(default_factory=dict)
    _offsets: dict[str, timedelta] = field(default_factory=dict)
    _awaited: dict[str, _Look] = field(default_factory=dict)
    """A look in doubt, whose open transactions have not all ended."""
    _at_rest: dict[str, datetime] = field(default_factory=dict)
    """The newest cursor of a look in doubt whose open transactions have all ended."""

    @classmethod
    def of(cls, connection: Connection) -> "ZoneWatch":
        """Read the TimeZone of a session in which we have not set it yet."""
        found = connection.execute(_OWN_SETTING).fetchone()
        assert found is not None
        return cls(*found)

    def check(self, connection: Connection, plan: Plan, read_below: datetime | None) -> str | None:
        """Check the settings and the newest row of a cursor without a time zone.

        Args:
            read_below: the stream's watermark; rows below it show nothing about current writers.

        Returns:
            A warning about the zone that the stream names; None if it seems right.

        Raises:
            SourceShapeError: the stream names no zone and something shows that it is not UTC, or its zone is unknown.
            psycopg.Error: the server failed.
        """
        stream = plan.stream
        if not plan.is_naive:
            if stream.timezone:
                raise SourceShapeError(
                    f"stream {stream.name}: its cursor {stream.cursor} is a timestamptz, whose zone is known",
                    "Remove timezone from the stream in pipeline.toml",
                )
            return None
        if stream.timezone is None and (reason := self._setting_other_than_utc(connection, plan)):
            raise self._refusal(plan, reason)
        if plan.is_date:
            # A date does not show the clock of its writer.
            return None
        offset = self._offset(connection, plan, read_below)
        if not offset:
            return None
        reason = (
            f"its newest {stream.cursor} is {_hours(abs(offset))} {'ahead of' if offset > timedelta(0) else 'behind'}"
            f" the clock of {stream.zone} while rows are written"
        )
        if stream.timezone is None:
            raise self._refusal(plan, reason)
        effect = "windows end that much earlier until rows agree with it" if offset < timedelta(0) else "such rows wait"
        return f"{reason}: is its timezone in pipeline.toml right? {effect.capitalize()}"

    def ends(self, connection: Connection, plans: Iterable[Plan], moment: datetime) -> dict[str, datetime]:
        """Return for each stream the lowest cursor that a row may still get from that moment (naive UTC) on.

        If rows are written behind the clock of the named zone, the result is behind it as well: otherwise a window
        would end above transactions that are still open.
        """
        found: dict[str, datetime] = {}
        clocks: dict[str, datetime] = {}
        for plan in plans:
            name, zone = plan.stream.name, plan.stream.zone
            if not plan.is_naive:
                found[name] = moment
                continue
            if zone not in clocks:
                clocks[zone] = earliest_ahead(connection, moment, zone)
            found[name] = earlier(clocks[zone], max(-self._offsets.get(name, timedelta(0)), timedelta(0)))
        return found

    def in_doubt(self, plan: Plan, mark: Watermark | None) -> bool:
        """Return whether no row has shown yet that a cursor without a zone holds UTC, since its first window on."""
        name = plan.stream.name
        is_unnamed = plan.is_naive and plan.stream.timezone is None and name not in self._offsets
        return is_unnamed and (mark is None or UNSEEN in mark.mode)

    def end_in_doubt(self, plan: Plan, end: datetime, horizon: Horizon) -> datetime:
        """Return the end of the window of a cursor in doubt: `end`, or less while a transaction is open.

        Rows at rest show no zone. If it is behind UTC, an open transaction may still write below them. What we may read
        then is what lies below the transaction's start in every zone, and the rows that were there before it began.
        """
        at_rest = self._newest_before(plan.stream.name, horizon.moment)
        if horizon.age <= MARGIN:
            return end
        return min(end, max(earlier(horizon.moment, _FARTHEST), at_rest))

    def _newest_before(self, name: str, moment: datetime) -> datetime:
        """Return a cursor up to which only transactions that began before that moment write."""
        if name in self._awaited and self._awaited[name].clock <= moment:
            self._at_rest[name] = self._awaited.pop(name).newest + _TICK
        if name in self._looks:
            self._awaited.setdefault(name, self._looks[name])
        return self._at_rest.get(name, datetime.min)

    def _refusal(self, plan: Plan, reason: str) -> SourceShapeError:
        stream = plan.stream
        return SourceShapeError(
            f"stream {stream.name}: its cursor {stream.cursor} has no time zone, and whether it holds"
            f" UTC is in doubt: {reason}",
            f'Name the zone of its writers under [streams.{stream.name}] in pipeline.toml, as in timezone = "UTC" or'
            ' timezone = "America/New_York"',
        )

    def _setting_other_than_utc(self, connection: Connection, plan: Plan) -> str | None:
        found = connection.execute(_SETTINGS, [plan.table], prepare=True).fetchall()
        for role, zone in found:
            if not is_utc(zone):
                return f"the {'role ' + role if role else 'database'} has TimeZone = {zone}"
        if any(role is None for role, _ in found):
            return None
        if self.own_source == "client":
            return "PGTZ or PGOPTIONS in the environment hides which TimeZone the server gives its sessions"
        if self.own_source in ("user", "database user"):
            return "a TimeZone of the reader's role hides which one the server gives other sessions"
        return None if is_utc(self.own_zone) else f"the server has TimeZone = {self.own_zone}"

    def _offset(self, connection: Connection, plan: Plan, read_below: datetime | None) -> timedelta:
        """Return by how many quarters of an hour new rows differ from the clock; zero if no row shows it."""
        name = plan.stream.name
        before, known = self._looks.get(name), self._offsets.get(name, timedelta(0))
        if before and not plan.indexed and time.monotonic() < before.at + _BETWEEN_SCANS.total_seconds():
            return known
        query = sql.SQL(_NEWEST).format(
            cursor=sql.Identifier(plan.stream.cursor),
            zone=sql.Literal(plan.stream.zone),
            table=sql.Identifier(plan.stream.namespace, plan.stream.table),
        )
        try:
            newest, clock = connection.execute(query).fetchone() or (None, None)
        except psycopg.errors.InvalidParameterValue as error:
            raise SourceShapeError(
                f"stream {name}: the source database does not know the time zone {plan.stream.zone}",
                "Name it as the view pg_timezone_names of the source lists it",
            ) from error
        if newest is None or clock is None:
            return timedelta(0)
        self._looks[name] = _Look(newest, clock, time.monotonic())
        if (before and before.newest == newest) or (not before and read_below and newest < read_below):
            return known
        since = min(abs(clock - before.clock), _LONGEST_LOOK) if before else timedelta(0)
        offset = _whole_quarters(newest - clock, _SLACK + since)
        # A value at a whole minute may be a business date or hour, and does not show the clock.
        if offset is None or (newest.second, newest.microsecond) == (0, 0):
            return known
        self._offsets[name] = offset
        return offset


def _whole_quarters(difference: timedelta, slack: timedelta) -> timedelta | None:
    """Return the multiple of a quarter of an hour that is within `slack` of the difference, or None."""
    offset = round(difference / _QUARTER) * _QUARTER
    return offset if abs(difference - offset) <= slack and abs(offset) <= _FARTHEST else None


def _hours(offset: timedelta) -> str:
    minutes = int(offset.total_seconds()) // 60
    return f"{minutes // 60}:{minutes % 60:02} hours"
