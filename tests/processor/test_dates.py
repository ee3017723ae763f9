"""Test cursors of type date: rows show on their own day, and none is lost or staged twice over the day's end."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from adventure.core.clock import utc_now
from adventure.core.errors import SourceShapeError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.factory import open_warehouse
from adventure.processor.cycle import Pipeline, run_cycle
from adventure.processor.run import open_pipeline, process_once
from adventure.processor.state import read_watermarks
from adventure.reconcile.run import reconcile
from adventure.sources.postgres import source
from adventure.sources.postgres.horizon import Horizon, read_horizon
from tests.processor.conftest import Rows, stream_of, writer

ZONE = "Pacific/Kiritimati"
"""Its clock is 14 hours ahead of UTC, so that its day is another one most of the time."""


@pytest.fixture
def days(writer_settings: Settings) -> Stream:
    """A table whose rows hold the day of their last change, on the clock of Kiritimati."""
    with writer(writer_settings) as connection:
        connection.execute(
            f"create table days (id integer primary key, day date default (now() at time zone '{ZONE}')::date,"
            " note text)".encode()
        )
        connection.execute("create index on days (day)")
    return stream_of("days", cursor="day", timezone=ZONE)


def change(settings: Settings, statement: str) -> None:
    with writer(settings) as connection:
        connection.execute(statement.encode())


def notes(rows: Rows) -> list[tuple[int, str]]:
    return [(row["id"], row["note"]) for row in rows]


def check_equal(settings: Settings, writer_settings: Settings, stream: Stream) -> None:
    warehouse = open_warehouse(settings)
    warehouse.load(stream)
    held = warehouse.execute("select id, day, note from raw_ext.things_latest order by id")
    with writer(writer_settings) as connection:
        assert held == connection.execute("select id, day, note from days order by id").fetchall()
    (report,) = reconcile(settings, [replace(stream)], rows=True)
    assert report.is_clean


def test_rows_of_the_running_day_are_staged_once_in_each_version(
    settings: Settings, writer_settings: Settings, days: Stream, staged: Callable[[Stream], Rows]
) -> None:
    with open_pipeline(settings, (days,)) as pipeline:
        change(writer_settings, "insert into days (id, note) values (1, 'a'), (2, 'a')")
        run_cycle(pipeline)
        change(writer_settings, "insert into days (id, note) values (3, 'a'); update days set note = 'b' where id = 1")
        run_cycle(pipeline)
        run_cycle(pipeline)
    assert sorted(notes(staged(days))) == [(1, "a"), (1, "b"), (2, "a"), (3, "a")]
    assert read_watermarks(settings)["things"].mode == f"horizon, whole days, {ZONE}"
    check_equal(settings, writer_settings, days)


def test_a_row_of_yesterday_that_commits_today_is_read(
    settings: Settings,
    writer_settings: Settings,
    days: Stream,
    staged: Callable[[Stream], Rows],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A transaction began a second before midnight in Kiritimati, which holds the horizon there."""
    today = datetime.combine(utc_now().replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(ZONE)).date(), time.min)
    midnight = today.replace(tzinfo=ZoneInfo(ZONE)).astimezone(ZoneInfo("UTC")).replace(tzinfo=None)

    def held(connection: psycopg.Connection[Any], pid: int) -> Horizon:
        found = read_horizon(connection, pid)
        moment = midnight - timedelta(seconds=1)
        return replace(found, moment=moment, age=found.clock - moment)

    change(writer_settings, "insert into days values (1, default, 'today')")
    change(writer_settings, f"insert into days values (2, date '{today:%Y-%m-%d}' - 1, 'yesterday')")
    with open_pipeline(settings, (days,)) as pipeline:
        with monkeypatch.context() as patch:
            patch.setattr(source, "read_horizon", held)
            cycle(pipeline)
            assert notes(staged(days)) == [(2, "yesterday")]
            change(writer_settings, f"insert into days values (3, date '{today:%Y-%m-%d}' - 1, 'late')")
        cycle(pipeline)
    assert sorted(notes(staged(days))) == [(1, "today"), (2, "yesterday"), (3, "late")]
    check_equal(settings, writer_settings, days)


@pytest.mark.parametrize("kind", ["date", "timestamptz"])
def test_no_row_is_lost_when_the_values_of_a_cursor_become_whole_days(
    settings: Settings, writer_settings: Settings, days: Stream, staged: Callable[[Stream], Rows], kind: str
) -> None:
    change(writer_settings, "alter table days alter day type timestamptz")
    stream = replace(days, timezone=None)
    change(writer_settings, "insert into days values (1, now() - interval '1 day', 'before'), (2, now(), 'now')")
    process_once(settings, (stream,))
    change(writer_settings, f"alter table days alter day type {kind}")
    a_day = "date_trunc('day', now()), 'a day'"
    change(writer_settings, f"insert into days values (3, {a_day}), (5, {a_day}), (6, {a_day}), (7, {a_day})")
    with open_pipeline(settings, (stream,)) as pipeline:
        cycle(pipeline)
        change(writer_settings, f"insert into days values (4, {a_day})")
        cycle(pipeline)
    assert {key for key, _ in notes(staged(stream))} == {1, 2, 3, 4, 5, 6, 7}


def cycle(pipeline: Pipeline) -> None:
    assert not run_cycle(pipeline).failures


def test_a_date_without_a_zone_is_refused_where_the_database_has_one(
    settings: Settings, writer_settings: Settings, days: Stream
) -> None:
    change(writer_settings, f"alter database {writer_settings.postgres_db} set timezone = '{ZONE}'")
    with pytest.raises(SourceShapeError, match="has no time zone, and whether it holds UTC is in doubt"):
        process_once(settings, (replace(days, timezone=None),))
