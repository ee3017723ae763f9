"""What is wrong with a running pipeline, in plain sentences, for `adventure status` and whoever is woken by it.

It only looks. What each finding means is in docs/operations.md.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import sql

from adventure.core import heartbeat
from adventure.core.clock import utc_now
from adventure.core.connect import connect_postgres, translating_postgres
from adventure.core.errors import AdventureError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.zones import to_utc
from adventure.destinations.warehouse import Warehouse
from adventure.factory import open_stage
from adventure.processor.state import read_watermarks
from adventure.reconcile.recent import TASK as RECONCILE
from adventure.sources.mongo.connect import connect_mongo, translating_mongo
from adventure.sources.mongo.cursors import cursors_from
from adventure.sources.postgres.horizon import holder, read_horizon
from adventure.sources.postgres.resolution import Resolution

RECENT = timedelta(days=1)
"""Rejects that were loaded before that are history, not news."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what, and what to do."""

    sentence: str
    remedy: str


def find_problems(settings: Settings, streams: Sequence[Stream], warehouse: Warehouse) -> list[Problem]:
    """All of them; a source or state that cannot be read is one itself.

    Raises:
        WarehouseError: the warehouse cannot be read.
    """
    found = [
        *_of_stages(settings, streams, warehouse),
        *_of_tasks(settings, warehouse),
        *_of_rejects(streams, warehouse),
        *_of_processor(settings),
    ]
    for look in (_of_horizon, _of_unread):
        try:
            found += look(settings, streams)
        except AdventureError as error:
            problem = Problem(error.problem, error.remedy)
            found += [problem] if problem not in found else []
    return found


def _of_processor(settings: Settings) -> Iterator[Problem]:
    """One that was told to stop is no problem; what is sold meanwhile will be, at the source."""
    sign, now = heartbeat.read(settings.processor_heartbeat), utc_now()
    if sign and not sign.has_ended and now > sign.stuck_at:
        yield Problem(
            f"The processor was last seen {_age(now - sign.seen_at)} ago, and meant to go on within"
            f" {_age(sign.next_by - sign.seen_at)}",
            "See that `adventure process` runs, and what its log says",
        )


def _of_horizon(settings: Settings, streams: Sequence[Stream]) -> Iterator[Problem]:
    if not any(stream.source == "postgres" for stream in streams):
        return
    conninfo, name = settings.postgres_dsn, "the source database"
    connection = connect_postgres(conninfo, name=name, autocommit=True)
    with connection, translating_postgres(conninfo, name):
        horizon = read_horizon(connection, 0)
        if horizon.age > timedelta(seconds=settings.alert_lag_sec):
            session = holder(connection, 0) or "a session that has ended meanwhile"
            yield Problem(
                f"The horizon stands still for {_age(horizon.age)}: {session} has a transaction open,"
                " and newer rows wait",
                "End that session: select pg_terminate_backend(pid) as an administrator of the source",
            )


def _of_unread(settings: Settings, streams: Sequence[Stream]) -> Iterator[Problem]:
    """Rows that are at the source for too long and that no window has brought."""
    marks = read_watermarks(settings)
    for stream in streams:
        mark = marks.get(stream.name)
        first = _first_unread(settings, stream, mark.value if mark else None)
        waits = utc_now() - first if first else timedelta(0)
        # A row with a coarse cursor may have been written that much after it.
        resolution = Resolution.of(mark.mode) if mark else None
        may_wait = timedelta(seconds=settings.alert_lag_sec) + (resolution.longest if resolution else timedelta(0))
        if waits > may_wait:
            yield Problem(
                f"{stream.name}: rows wait at the source since {first} ({_age(waits)}), above the watermark",
                "See that `adventure process` runs, and what its log says",
            )


def _first_unread(settings: Settings, stream: Stream, mark: datetime | None) -> datetime | None:
    """The lowest cursor at or above the mark, naive UTC."""
    if stream.source == "mongo":
        uri, name = settings.mongo_conninfo, "the source of the documents"
        with connect_mongo(uri, name=name) as client, translating_mongo(uri, name):
            collection = client[stream.namespace][stream.table]
            return min(cursors_from(collection, stream.cursor, mark or datetime.min), default=None)
    conninfo, name = settings.postgres_dsn, "the source database"
    cursor = sql.Identifier(stream.cursor)
    query = sql.SQL("select min({0}) from {1} where {0} >= {2} and {0} < 'infinity'").format(
        cursor, sql.Identifier(stream.namespace, stream.table), sql.Literal(str(mark or datetime(1, 1, 1)))
    )
    connection = connect_postgres(conninfo, name=name, autocommit=True)
    with connection, translating_postgres(conninfo, name):
        connection.execute("set timezone = 'UTC'")
        found = connection.execute(query).fetchone()
    value = found[0] if found else None
    if value is None:
        return None
    return value.replace(tzinfo=None) if value.tzinfo else to_utc(value, stream.zone)


def _of_stages(settings: Settings, streams: Sequence[Stream], warehouse: Warehouse) -> Iterator[Problem]:
    stage, now = open_stage(settings), utc_now()
    for stream in streams:
        windows = stage.windows(stream.stage)
        loaded = warehouse.loaded(windows)
        waiting = [window for window in windows if window.id not in loaded]
        oldest = min((window.staged_at for window in waiting), default=now)
        if now - oldest > timedelta(seconds=settings.alert_waiting_sec):
            yield Problem(
                f"{stream.name}: {len(waiting):,} windows wait to be loaded, the oldest for {_age(now - oldest)}: its"
                f" stage {stream.stage} grows",
                "See that `adventure tasks serve` runs;"
                f" `adventure tasks run load_{stream.name}` says what is in the way",
            )
        for error in stage.damaged(stream.stage):
            yield Problem(f"{stream.name}: {error.problem}", error.remedy)


def _of_tasks(settings: Settings, warehouse: Warehouse) -> Iterator[Problem]:
    for task, (times, message) in warehouse.failures_in_a_row().items():
        if task == RECONCILE:
            # It runs once a day: its first failure counts.
            yield Problem(message, f"After the repair, `adventure tasks run {RECONCILE}` compares again")
        elif times >= settings.alert_failures:
            yield Problem(
                f"Task {task} failed {times:,} times in a row: {message}", f"`adventure tasks run {task}` tries it"
            )


def _of_rejects(streams: Sequence[Stream], warehouse: Warehouse) -> Iterator[Problem]:
    for stream, rows in warehouse.rejected_since(utc_now() - RECENT).items():
        if stream in {each.name for each in streams}:
            yield Problem(
                f"{stream}: {rows:,} rows were set aside in the last day, because they cannot be carried exactly",
                f"See why: select key, reason from raw_ext.rejected_rows where stream = '{stream}';"
                " mend them at the source",
            )


def _age(span: timedelta) -> str:
    seconds = span.total_seconds()
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
    )
