"""What is wrong with a running pipeline, in plain sentences, for `adventure status` and whoever is woken by it.

It only looks. What each finding means is in docs/operations.md.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from psycopg import sql

from adventure.core import heartbeat
from adventure.core.ages import short_age
from adventure.core.clock import utc_now
from adventure.core.connect import translating_postgres
from adventure.core.errors import AdventureError, SourceRefused, SourceShapeError
from adventure.core.settings import Settings
from adventure.core.stage import damaged_windows
from adventure.core.streams import Stream
from adventure.core.watermark import Origin
from adventure.core.zones import to_utc
from adventure.destinations.warehouse import Ledger, RawTables, TaskHistory, Warehouse
from adventure.factory import open_stage
from adventure.monitoring.gaps import find_gaps
from adventure.monitoring.origins import mongo_origins, postgres_origins
from adventure.processor.owner import origin_mismatch, owner_mismatch
from adventure.processor.state import read_watermarks
from adventure.reconcile.recent import TASK as RECONCILE
from adventure.sources.mongo.connect import connect_mongo, translating_mongo
from adventure.sources.mongo.cursors import first_cursor
from adventure.sources.postgres.access import require_access
from adventure.sources.postgres.horizon import blocking_session, read_horizon
from adventure.sources.postgres.resolution import Resolution
from adventure.sources.postgres.session import NAME, open_session

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
    looks = (
        partial(_of_horizon, settings, streams),
        partial(_of_unread, settings, streams),
        partial(_of_windows, settings, streams, warehouse),
        partial(_of_origins, settings, streams, postgres_origins),
        partial(_of_origins, settings, streams, mongo_origins),
    )
    for look in looks:
        try:
            for problem in look():
                found += [problem] if problem not in found else []
        except AdventureError as error:
            problem = Problem(error.problem, error.remedy)
            found += [problem] if problem not in found else []
    return found


def _of_processor(settings: Settings) -> Iterator[Problem]:
    """One that was told to stop is no problem; what is sold meanwhile will be, at the source."""
    sign, now = heartbeat.read(settings.processor_heartbeat), utc_now()
    if sign and not sign.has_ended and now > sign.stuck_at:
        yield Problem(
            f"The processor was last seen {short_age(now - sign.seen_at)} ago, and meant to go on within"
            f" {short_age(sign.next_by - sign.seen_at)}",
            "See that `adventure process` runs, and what its log says",
        )


def _of_horizon(settings: Settings, streams: Sequence[Stream]) -> Iterator[Problem]:
    if not any(stream.source == "postgres" for stream in streams):
        return
    with open_session(settings) as connection, translating_postgres(settings.postgres_dsn, NAME):
        horizon = read_horizon(connection, 0)
        if horizon.age > timedelta(seconds=settings.alert_lag_sec):
            session = blocking_session(connection, 0) or "a session that has ended meanwhile"
            yield Problem(
                f"The horizon stands still for {short_age(horizon.age)}: {session} has been in one transaction"
                " or statement since, and newer rows wait",
                "End that session: select pg_terminate_backend(pid) as an administrator of the source",
            )


def _of_unread(settings: Settings, streams: Sequence[Stream]) -> Iterator[Problem]:
    """Rows that are at the source for too long and that no window has brought."""
    marks = read_watermarks(settings)
    for stream in streams:
        mark = marks.get(stream.name)
        try:
            first = _first_unread(settings, stream, mark.value if mark else None)
        except (SourceRefused, SourceShapeError) as error:
            yield Problem(error.problem, error.remedy)
            continue
        waits = utc_now() - first if first else timedelta(0)
        # A row with a coarse cursor may have been written that much after it.
        resolution = Resolution.of(mark.mode) if mark else None
        may_wait = timedelta(seconds=settings.alert_lag_sec) + (resolution.longest if resolution else timedelta(0))
        if waits > may_wait:
            yield Problem(
                f"{stream.name}: rows wait at the source since {first} ({short_age(waits)}), above the watermark",
                "See that `adventure process` runs, and what its log says",
            )


def _first_unread(settings: Settings, stream: Stream, mark: datetime | None) -> datetime | None:
    """The lowest cursor at or above the mark, naive UTC."""
    if stream.source == "mongo":
        uri, name = settings.mongo_conninfo, "the source of the documents"
        with connect_mongo(uri, name=name) as client, translating_mongo(uri, name):
            collection = client[stream.namespace][stream.table]
            return first_cursor(collection, stream.cursor, mark or datetime.min)
    cursor = sql.Identifier(stream.cursor)
    query = sql.SQL("select min({0}) from {1} where {0} >= {2} and {0} < 'infinity'").format(
        cursor, sql.Identifier(stream.namespace, stream.table), sql.Literal(str(mark or datetime(1, 1, 1)))
    )
    with open_session(settings) as connection, translating_postgres(settings.postgres_dsn, NAME):
        require_access(connection, stream, settings.postgres_user)
        found = connection.execute(query).fetchone()
    value = found[0] if found else None
    if value is None:
        return None
    return value.replace(tzinfo=None) if value.tzinfo else to_utc(value, stream.zone)


def _of_stages(settings: Settings, streams: Sequence[Stream], ledger: Ledger) -> Iterator[Problem]:
    stage, now = open_stage(settings), utc_now()
    for stream in streams:
        windows = stage.windows(stream.stage)
        loaded = ledger.loaded(windows)
        waiting = [window for window in windows if window.id not in loaded]
        oldest = min((window.staged_at for window in waiting), default=now)
        if now - oldest > timedelta(seconds=settings.alert_waiting_sec):
            yield Problem(
                f"{stream.name}: {len(waiting):,} windows wait to be loaded, the oldest for {short_age(now - oldest)}:"
                f" its stage {stream.stage} grows",
                "See that `adventure tasks serve` runs;"
                f" `adventure tasks run load_{stream.name}` says what is in the way",
            )
        for error in damaged_windows(stage, stream):
            yield Problem(f"{stream.name}: {error.problem}", error.remedy)


def _of_windows(settings: Settings, streams: Sequence[Stream], ledger: Ledger) -> Iterator[Problem]:
    """What a watermark says was read, and neither the stage nor the ledger holds; or a watermark of another stage."""
    marks, stage = read_watermarks(settings), open_stage(settings)
    # In this order, in which windows move: none is overlooked.
    staged = {stream.name: stage.windows(stream.stage) for stream in streams if stream.name in marks}
    spans = ledger.loaded_spans()
    ids = ledger.loaded_window_ids(mark.window_id for mark in marks.values() if mark.window_id)
    for stream in streams:
        if stream.name not in marks:
            continue
        mark, windows = marks[stream.name], staged[stream.name]
        if mismatch := owner_mismatch(mark, stream, stage.identity()):
            yield Problem(mismatch.problem, mismatch.remedy)
        if stage.damaged(stream.stage):
            # They are reported, and what they cover is not known.
            continue
        gaps = find_gaps(mark, windows, spans.get(stream.name, []))
        lost, since = "", mark.value if mark.window_id else None
        if gaps:
            lost, since = ", ".join(map(str, gaps)), gaps[0].low
        elif mark.window_id and mark.window_id not in {window.id for window in windows} | ids:
            lost = f"the window {mark.window_id}"
        if lost:
            where = f" --from {since.isoformat()}" if since else ""
            yield Problem(
                f"{stream.name}: its watermark is {mark.value}, and neither the stage nor the warehouse holds {lost}",
                f"Restore what was lost; or stop the processor and run `adventure stream reset {stream.name}{where}`,"
                f" which reads it again, and after the next load `adventure reconcile {stream.name} --repair`",
            )


def _of_origins(
    settings: Settings,
    streams: Sequence[Stream],
    read_origins: Callable[[Settings, Sequence[Stream]], dict[str, Origin]],
) -> Iterator[Problem]:
    """Watermarks that were reached in another database, or in a later state of it."""
    marks = read_watermarks(settings)
    origins = read_origins(settings, streams)
    for stream in streams:
        mismatch = origin_mismatch(marks.get(stream.name), stream, origins.get(stream.name, Origin()))
        if mismatch:
            yield Problem(mismatch.problem, mismatch.remedy)


def _of_tasks(settings: Settings, history: TaskHistory) -> Iterator[Problem]:
    for task, (times, message) in history.failures_in_a_row().items():
        if task == RECONCILE:
            # It runs once a day: its first failure counts.
            yield Problem(message, f"After the repair, `adventure tasks run {RECONCILE}` compares again")
        elif times >= settings.alert_failures:
            yield Problem(
                f"Task {task} failed {times:,} times in a row: {message}", f"`adventure tasks run {task}` tries it"
            )


def _of_rejects(streams: Sequence[Stream], raw_tables: RawTables) -> Iterator[Problem]:
    for stream in streams:
        if rows := raw_tables.outstanding_rejects(stream, utc_now() - RECENT):
            yield Problem(
                f"{stream.name}: {rows:,} rows were rejected in the last day, because they cannot be converted exactly",
                f"See why: select key, reason from raw_ext.rejected_rows where stream = '{stream.name}'. Fix them at"
                " the source, or the stream's types in pipeline.toml; then run"
                f" `adventure reconcile {stream.name} --repair` and `adventure tasks run load_{stream.name}`",
            )
