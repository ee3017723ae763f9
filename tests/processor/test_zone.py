"""Cursors without a time zone are read in the stream's zone, or refused if the stream has to name one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from adventure.core.clock import utc_now
from adventure.core.errors import ConfigError, SourceShapeError
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.zones import looking_back, to_local, to_utc
from adventure.demo.sandbox import Sandbox
from adventure.factory import open_probe, open_warehouse
from adventure.monitoring.checks.flow import count_rows
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline, process_once
from adventure.processor.state import read_watermarks
from adventure.reconcile.run import reconcile
from adventure.sources.postgres import source as postgres_source
from adventure.sources.postgres.horizon import Horizon
from adventure.sources.postgres.zone import earliest_ahead
from tests.processor.conftest import Rows, stream_of, superuser, writer

Staged = Callable[[Stream], Rows]

NEW_YORK, KOLKATA = "America/New_York", "Asia/Kolkata"


@pytest.fixture
def local(writer_settings: Settings) -> Stream:
    """Create a table `local(id, changed_at)` whose cursor holds the wall clock of the writing session."""
    with writer(writer_settings) as connection:
        connection.execute("create table local (id integer primary key, changed_at timestamp default now())")
        connection.execute("create index local_cursor on local (changed_at)")
    return stream_of("local")


@pytest.fixture(params=["indexed", "not indexed"])
def perhaps_indexed(local: Stream, writer_settings: Settings, request: pytest.FixtureRequest) -> Stream:
    if request.param == "not indexed":
        with writer(writer_settings) as connection:
            connection.execute("drop index local_cursor")
    return local


@contextmanager
def writing_in(settings: Settings, zone: str) -> Iterator[psycopg.Connection[Any]]:
    with writer(settings) as connection:
        connection.execute("select set_config('timezone', %s, false)", [zone])
        yield connection


def insert(settings: Settings, zone: str, *numbers: int) -> None:
    with writing_in(settings, zone) as connection:
        for number in numbers:
            connection.execute("insert into local (id) values (%s)", [number])


def ids(rows: Rows) -> list[int]:
    return sorted(row["id"] for row in rows)


@pytest.mark.parametrize("zone", [NEW_YORK, KOLKATA, "Pacific/Kiritimati", "UTC"])
def test_rows_of_a_named_zone_are_staged_at_once_and_late_commits_are_not_lost(
    settings: Settings, writer_settings: Settings, local: Stream, staged: Staged, zone: str
) -> None:
    stream = replace(local, timezone=zone)
    insert(writer_settings, zone, 1)
    process_once(settings, [stream])
    assert ids(staged(stream)) == [1]
    with writing_in(writer_settings, zone) as late, late.transaction():
        late.execute("insert into local (id) values (2)")
        insert(writer_settings, zone, 3)
        process_once(settings, [stream])
        assert ids(staged(stream)) == [1]
    process_once(settings, [stream])
    assert ids(staged(stream)) == [1, 2, 3]
    assert read_watermarks(settings)["things"].mode == ("horizon" if zone == "UTC" else f"horizon, {zone}")


def test_the_value_of_a_zone_is_staged_unchanged(
    settings: Settings, writer_settings: Settings, local: Stream, staged: Staged
) -> None:
    stream = replace(local, timezone=KOLKATA)
    insert(writer_settings, KOLKATA, 1)
    process_once(settings, [stream])
    with writer(writer_settings) as connection:
        assert connection.execute("select id, changed_at from local").fetchall() == [
            (row["id"], row["changed_at"]) for row in staged(stream)
        ]


@pytest.mark.parametrize(
    "statement", ["alter database {database} set", "alter role {writer} in database {database} set"]
)
def test_a_zone_of_the_database_or_a_writing_role_is_refused_until_the_stream_names_one(
    settings: Settings, writer_settings: Settings, local: Stream, staged: Staged, sandbox: Sandbox, statement: str
) -> None:
    with superuser(sandbox, settings) as connection:
        name = statement.format(database=settings.postgres_db, writer=writer_settings.postgres_user)
        connection.execute(f"{name} timezone = '{NEW_YORK}'")
    insert(writer_settings, NEW_YORK, 1)
    with pytest.raises(SourceShapeError, match=f"TimeZone = {NEW_YORK}.*timezone = "):
        process_once(settings, [local])
    assert staged(local) == []
    process_once(settings, [replace(local, timezone=NEW_YORK)])
    assert ids(staged(local)) == [1]


def test_a_zone_of_a_role_that_may_not_write_the_table_does_not_matter(
    settings: Settings, writer_settings: Settings, local: Stream, staged: Staged, sandbox: Sandbox
) -> None:
    name = f"analyst_of_{settings.postgres_db}"
    with superuser(sandbox, settings) as connection:
        connection.execute(f"create role {name} login")
        connection.execute(f"alter role {name} set timezone = '{NEW_YORK}'")
    insert(writer_settings, "UTC", 1)
    process_once(settings, [local])
    assert ids(staged(local)) == [1]


def test_a_zone_of_the_readers_role_hides_the_servers(
    settings: Settings, writer_settings: Settings, local: Stream, sandbox: Sandbox
) -> None:
    with superuser(sandbox, settings) as connection:
        role = f"{settings.postgres_user} in database {settings.postgres_db}"
        connection.execute(f"alter role {role} set timezone = 'UTC'")
    insert(writer_settings, "UTC", 1)
    with pytest.raises(SourceShapeError, match="hides"):
        process_once(settings, [local])


@pytest.mark.parametrize("zone", [NEW_YORK, KOLKATA])
def test_rows_hours_away_from_the_clock_are_refused_until_the_stream_names_a_zone(
    settings: Settings, writer_settings: Settings, perhaps_indexed: Stream, staged: Staged, zone: str
) -> None:
    local = perhaps_indexed
    with open_pipeline(settings, [local]) as pipeline:
        for number in range(3):
            insert(writer_settings, zone, number)
            failure = run_cycle(pipeline).failures[local.name]
            assert isinstance(failure, SourceShapeError)
            assert "hours" in failure.problem
        assert "local" not in read_watermarks(settings)
    stream = replace(local, timezone=zone)
    process_once(settings, [stream])
    assert ids(staged(stream)) == [0, 1, 2]


def test_late_commits_are_not_lost_where_the_stream_names_the_wrong_zone(
    settings: Settings, writer_settings: Settings, perhaps_indexed: Stream, staged: Staged
) -> None:
    stream = replace(perhaps_indexed, timezone="UTC")
    insert(writer_settings, NEW_YORK, 1)
    with open_pipeline(settings, [stream]) as pipeline:
        with writing_in(writer_settings, NEW_YORK) as late, late.transaction():
            late.execute("insert into local (id) values (2)")
            insert(writer_settings, NEW_YORK, 3)
            run_cycle(pipeline)
            assert ids(staged(stream)) == [1]
        insert(writer_settings, NEW_YORK, 4)
        while 3 not in ids(staged(stream)):
            run_cycle(pipeline)
    assert 2 in ids(staged(stream))


@pytest.mark.parametrize("zone", [NEW_YORK, KOLKATA])
def test_a_commit_that_is_late_in_the_first_window_over_rows_at_rest_is_not_lost(
    settings: Settings, writer_settings: Settings, local: Stream, staged: Staged, zone: str
) -> None:
    noon = to_local(utc_now(), zone) - timedelta(minutes=5)
    insert_at = "insert into local values (%s, %s)"
    with writer(writer_settings) as connection:
        connection.execute(insert_at, [1, noon - timedelta(days=2)])
        connection.execute(insert_at, [3, noon])
    with open_pipeline(settings, [local]) as pipeline:
        with writer(writer_settings) as late, late.transaction():
            late.execute(insert_at, [2, noon - timedelta(seconds=30)])
            run_cycle(pipeline)
            run_cycle(pipeline)
            assert 1 in ids(staged(local))
        run_cycle(pipeline)
    settled = [1, 2, 3] if zone == NEW_YORK else [1]
    assert ids(staged(local)) == settled  # Kolkata is ahead of UTC, so its rows wait.


def test_rows_at_rest_are_staged_when_what_was_open_beside_them_has_ended(
    settings: Settings, writer_settings: Settings, local: Stream, staged: Staged
) -> None:
    with writer(writer_settings) as connection:
        connection.execute("insert into local values (1, now() at time zone 'utc' - interval '5 minutes')")
    with open_pipeline(settings, [local]) as pipeline, writer(writer_settings) as second:
        with writer(writer_settings) as first, first.transaction():
            first.execute("select 1")
            run_cycle(pipeline)
            assert ids(staged(local)) == []
            second.execute("begin")
        run_cycle(pipeline)
        assert ids(staged(local)) == []
        second.execute("select pg_sleep(0.2)")
        second.execute("commit; begin")
        run_cycle(pipeline)
        assert ids(staged(local)) == [1]


def test_the_doubt_outlives_the_process_until_a_row_shows_the_zone(
    settings: Settings, writer_settings: Settings, local: Stream, staged: Staged
) -> None:
    at = "insert into local values ({}, now() at time zone 'utc' - interval '{} seconds')"
    with writer(writer_settings) as connection, writer(writer_settings) as late:
        connection.execute(at.format(1, 300))
        process_once(settings, [local])
        assert read_watermarks(settings)["things"].mode == "horizon, zone not seen yet"
        with late.transaction():
            late.execute("select 1")
            connection.execute(at.format(2, 200))
            process_once(settings, [local])
            assert ids(staged(local)) == [1]
        connection.execute(at.format(3, 0))
        process_once(settings, [local])
        assert read_watermarks(settings)["things"].mode == "horizon"
    assert ids(staged(local)) == [1, 2, 3]


def test_old_rows_raise_no_doubt(settings: Settings, writer_settings: Settings, local: Stream, staged: Staged) -> None:
    with writer(writer_settings) as connection:
        old = utc_now() - timedelta(hours=4, minutes=7)
        connection.execute("insert into local values (1, %s)", [old])
        connection.execute("insert into local values (2, %s)", [utc_now().replace(minute=0, second=0, microsecond=0)])
    process_once(settings, [local])
    assert ids(staged(local)) == [1, 2]


def test_a_timestamptz_cursor_takes_no_timezone(settings: Settings, writer_settings: Settings) -> None:
    with writer(writer_settings) as connection:
        connection.execute("create table zoned (id integer primary key, changed_at timestamptz default now())")
    with pytest.raises(SourceShapeError, match="Remove timezone"):
        process_once(settings, [stream_of("zoned", timezone=NEW_YORK)])


# Summer ended in New York on 2 November 2025 at 06:00 UTC, and began on 9 March at 07:00 UTC; on Lord Howe Island
# the clock goes back by half an hour.
@pytest.mark.parametrize(
    ("zone", "moment", "earliest"),
    [
        (NEW_YORK, "2025-11-02 04:59:59", "2025-11-02 00:59:59"),
        (NEW_YORK, "2025-11-02 05:00:00", "2025-11-02 01:00:00"),
        (NEW_YORK, "2025-11-02 05:30:00", "2025-11-02 01:00:00"),
        (NEW_YORK, "2025-11-02 06:00:00", "2025-11-02 01:00:00"),
        (NEW_YORK, "2025-11-02 06:30:00.5", "2025-11-02 01:30:00.5"),
        (NEW_YORK, "2025-11-02 07:00:00", "2025-11-02 02:00:00"),
        (NEW_YORK, "2025-03-09 06:59:59", "2025-03-09 01:59:59"),
        (NEW_YORK, "2025-03-09 07:00:00", "2025-03-09 03:00:00"),
        ("Australia/Lord_Howe", "2025-04-05 14:45:00", "2025-04-06 01:30:00"),
        ("Australia/Lord_Howe", "2025-04-05 15:10:00", "2025-04-06 01:40:00"),
        (KOLKATA, "2025-11-02 05:30:00", "2025-11-02 11:00:00"),
        ("UTC", "2025-11-02 05:30:00", "2025-11-02 05:30:00"),
    ],
)
def test_the_earliest_wall_clock_that_is_still_to_come(
    writer_settings: Settings, zone: str, moment: str, earliest: str
) -> None:
    with writer(writer_settings) as connection:
        found = earliest_ahead(connection, datetime.fromisoformat(moment), zone)
    assert found == datetime.fromisoformat(earliest)


where_the_clock_is_changed = pytest.mark.parametrize(
    "begins", ["2025-11-02 04:30:00", "2025-03-09 06:00:00"], ids=["the hour comes twice", "an hour is skipped"]
)


@where_the_clock_is_changed
def test_nothing_is_lost_where_the_clock_is_changed(
    settings: Settings,
    writer_settings: Settings,
    local: Stream,
    staged: Staged,
    monkeypatch: pytest.MonkeyPatch,
    begins: str,
) -> None:
    """Insert a row every ten minutes with a window after each; every second row commits one window later."""
    stream = replace(local, timezone=NEW_YORK)
    times = [datetime.fromisoformat(begins) + timedelta(minutes=10 * n, microseconds=17) for n in range(20)]
    with open_pipeline(settings, [stream]) as pipeline, writer(writer_settings) as connection:
        held: list[int] = []
        for number, moment in enumerate(times):
            committed, held = (held, [number]) if number % 2 else ([*held, number], [])
            for row in committed:
                connection.execute("insert into local values (%s, %s)", [row, to_local(times[row], NEW_YORK)])
            # A transaction that has been open since then holds the horizon back.
            oldest = times[held[0]] if held else moment + timedelta(seconds=1)
            horizon = Horizon(oldest, timedelta(0), None)
            monkeypatch.setattr(postgres_source, "read_horizon", lambda *_, horizon=horizon: horizon)
            assert not run_cycle(pipeline).failures
        for row in held:
            connection.execute("insert into local values (%s, %s)", [row, to_local(times[row], NEW_YORK)])
        horizon = Horizon(times[-1] + timedelta(hours=1), timedelta(0), None)
        monkeypatch.setattr(postgres_source, "read_horizon", lambda *_: horizon)
        run_cycle(pipeline)
    assert ids(staged(stream)) == list(range(20))
    assert len(staged(stream)) == 20


@where_the_clock_is_changed
def test_a_lookback_reaches_over_a_change_of_the_clock(
    settings: Settings,
    writer_settings: Settings,
    local: Stream,
    staged: Staged,
    monkeypatch: pytest.MonkeyPatch,
    begins: str,
) -> None:
    """The horizon is unknown; every second row commits 20 minutes after it got its time, the others at once."""
    stream = replace(local, timezone=NEW_YORK, lookback=timedelta(minutes=22))
    times = [datetime.fromisoformat(begins) + timedelta(minutes=10 * n, microseconds=17) for n in range(20)]
    with open_pipeline(settings, [stream]) as pipeline, writer(writer_settings) as connection:
        later = [times[-1] + timedelta(minutes=minutes) for minutes in (10, 20, 120)]
        for number, moment in enumerate([*times, *later]):
            row = number - 2 * (number % 2)
            if row in range(len(times)):
                connection.execute("insert into local values (%s, %s)", [row, to_local(times[row], NEW_YORK)])
            horizon = Horizon(moment + timedelta(seconds=1), timedelta(0), "a prepared transaction is open")
            monkeypatch.setattr(postgres_source, "read_horizon", lambda *_, horizon=horizon: horizon)
            assert not run_cycle(pipeline).failures
    assert set(ids(staged(stream))) == set(range(20))


def test_status_check_and_reconcile_read_the_zone_of_the_stream(
    settings: Settings, writer_settings: Settings, local: Stream
) -> None:
    stream = replace(local, timezone=KOLKATA)
    insert(writer_settings, KOLKATA, 1, 2)
    process_once(settings, [stream])
    warehouse = open_warehouse(settings)
    warehouse.load(stream)
    insert(writer_settings, KOLKATA, 3)
    mark = read_watermarks(settings)["things"]
    with open_probe(stream.source, settings) as probe:
        unread = probe.unread(stream, mark)
    assert unread is not None
    assert abs(utc_now() - unread.cursor) < timedelta(minutes=5)
    assert abs(utc_now() - to_utc(mark.value, KOLKATA)) < timedelta(minutes=5)
    counts = count_rows(settings, warehouse, stream)
    assert (counts.source, counts.in_flight, counts.raw) == (3, 1, 2)
    (report,) = reconcile(settings, [stream])
    assert report.result is not None
    assert (report.result.rows, report.result.differs) == (2, False)


def test_a_deletion_is_dated_by_the_wall_clock_of_the_zone(
    settings: Settings, writer_settings: Settings, local: Stream
) -> None:
    """If dated in UTC, a deletion would hide a row that is inserted again in New York for four hours."""
    stream = replace(local, timezone=NEW_YORK)
    insert(writer_settings, NEW_YORK, *range(10))
    process_once(settings, [stream])
    warehouse = open_warehouse(settings)
    warehouse.load(stream)
    with writer(writer_settings) as connection:
        connection.execute("delete from local where id = 1")
    (report,) = reconcile(settings, [stream], repair=True)
    assert report.repaired is not None
    assert report.repaired.deleted == 1
    insert(writer_settings, NEW_YORK, 1)
    process_once(settings, [stream])
    warehouse.load(stream)
    assert warehouse.live_key_count(stream) == 10


@pytest.mark.parametrize(
    ("source", "zone", "message"),
    [
        ("postgres", "America/Atlantis", "is not an IANA time zone"),
        ("postgres", "EST5EDT4", "is not an IANA time zone"),
        ("postgres", "../etc/passwd", "is not an IANA time zone"),
        ("mongo", "UTC", "dates of MongoDB are UTC"),
    ],
)
def test_a_wrong_zone_is_refused_when_the_file_is_read(
    settings: Settings, tmp_path: Path, source: str, zone: str, message: str
) -> None:
    file = tmp_path / "pipeline.toml"
    file.write_text(
        f'[streams.one]\nsource = "{source}"\nnamespace = "public"\ntable = "one"\ncursor = "at"\nkey = "id"\n'
        f'stage = "one_stage"\nraw_table = "raw_ext.one_raw"\ntimezone = "{zone}"\n'
    )
    with pytest.raises(ConfigError, match=message):
        load_streams(settings.model_copy(update={"pipeline_file": file}))


@pytest.mark.parametrize("zone", [NEW_YORK, KOLKATA, "UTC"])
def test_local_and_utc_are_converted_both_ways(zone: str) -> None:
    moment = datetime(2026, 6, 3, 12, 0, 0, 123_456)
    local = to_local(moment, zone)
    assert local == moment + (local.replace(tzinfo=ZoneInfo(zone)).utcoffset() or timedelta(0))
    assert to_utc(local, zone) == moment


# An hour was skipped in New York on 9 March 2025 at 07:00 UTC, from 02:00 to 03:00.
@pytest.mark.parametrize(
    ("zone", "local", "minutes", "expected"),
    [
        (NEW_YORK, "2025-03-09 03:05:00", 15, 75),
        (NEW_YORK, "2025-03-09 03:20:00", 15, 15),
        (NEW_YORK, "2025-03-09 01:59:00", 15, 15),
        (NEW_YORK, "2025-11-02 01:05:00", 15, 15),
        (NEW_YORK, "2025-03-09 03:05:00", 0, 0),
        ("UTC", "2025-03-09 03:05:00", 15, 15),
    ],
)
def test_a_lookback_on_the_wall_clock(zone: str, local: str, minutes: int, expected: int) -> None:
    found = looking_back(datetime.fromisoformat(local), timedelta(minutes=minutes), zone)
    assert found == timedelta(minutes=expected)
