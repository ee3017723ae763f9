"""A first load by a cursor in windows of a bounded number of rows, which goes on where it was stopped."""

from collections.abc import Callable
from datetime import datetime, timedelta

import psycopg
import pytest

from adventure.core.faults import Point
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.factory import open_stage, open_warehouse
from adventure.processor import cycle
from adventure.processor.reset import reset_stream
from adventure.processor.run import process_once
from adventure.processor.state import read_watermarks
from adventure.sources.postgres import snapshot
from adventure.sources.postgres.windows import FIRST_LOAD
from tests.processor.conftest import Rows, stream_of, writer

Staged = Callable[[Stream], Rows]

OLD = datetime(2026, 1, 1, 7, 8, 9, 123456)


class Killed(BaseException):
    """Ends the processor at a point, as a kill would."""


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "ROWS_A_WINDOW", 10)


def fill(settings: Settings, rows: int, *, at_once: int = 1, column: str = "changed_at timestamp") -> None:
    """Make a table of old rows, so many with one cursor."""
    with writer(settings) as connection:
        connection.execute(
            "drop table if exists things;"
            f"create table things (id int primary key, {column} not null"
            " default (now() at time zone 'utc'), note text);"
            "create index on things (changed_at)".encode()
        )
        connection.execute(
            "insert into things select n, %s + (n / %s) * interval '1 day 123 us', 'note ' || n"
            " from generate_series(1, %s) as n",
            [OLD, at_once, rows],
        )


def windows(settings: Settings, stream: Stream) -> list[tuple[int, str]]:
    """Return the number of rows and the mode of each staged window, in order."""
    found = open_stage(settings).windows(stream.stage)
    found.sort(key=lambda window: (window.low or datetime.min, window.high))
    return [(window.rows, window.mode) for window in found]


def check(settings: Settings, stream: Stream) -> None:
    """Load what is staged, and compare the latest version of each key with the source, row for row."""
    warehouse = open_warehouse(settings)
    warehouse.load(stream)
    held = warehouse.execute(f"select id, changed_at, note from {stream.latest_view} order by id")
    with psycopg.connect(settings.postgres_dsn) as connection:
        assert held == connection.execute("select id, changed_at, note from things order by id").fetchall()


def test_a_first_load_is_staged_in_windows(settings: Settings, writer_settings: Settings) -> None:
    fill(writer_settings, 35)
    things = stream_of("things")
    process_once(settings, [things])
    found = windows(settings, things)
    assert [rows for rows, _ in found] == [10, 10, 10, 5]
    assert [FIRST_LOAD in mode for _, mode in found] == [True, True, True, False]
    check(settings, things)
    with writer(writer_settings) as connection:
        connection.execute("insert into things (id) select generate_series(101, 125)")
    process_once(settings, [things])
    assert [rows for rows, _ in windows(settings, things)][4:] == [25], "later windows hold all new rows"
    check(settings, things)


@pytest.mark.parametrize(("at_once", "expected"), [(4, [7, 8, 8, 8, 4]), (15, [14, 15, 6]), (100, [35])])
def test_rows_with_one_cursor_are_in_one_window(
    settings: Settings, writer_settings: Settings, at_once: int, expected: list[int]
) -> None:
    fill(writer_settings, 35, at_once=at_once)
    things = stream_of("things")
    process_once(settings, [things])
    assert [rows for rows, _ in windows(settings, things)] == expected
    check(settings, things)


@pytest.mark.parametrize("column", ["changed_at timestamptz", "changed_at date", "changed_at timestamp(0)"])
def test_cursors_of_other_types(settings: Settings, writer_settings: Settings, column: str) -> None:
    """The last value of a coarse cursor is read again, as after every window."""
    fill(writer_settings, 35, column=column)
    things = stream_of("things")
    process_once(settings, [things])
    assert len(windows(settings, things)) == 4
    warehouse = open_warehouse(settings)
    warehouse.load(things)
    found = warehouse.execute(f"select count(*), count(distinct id), min(id), max(id) from {things.latest_view}")
    assert found == [(35, 35, 1, 35)]


@pytest.mark.parametrize("change", ["drop index things_changed_at_idx", "delete from things where id > 10"])
def test_one_window_where_more_would_not_help(settings: Settings, writer_settings: Settings, change: str) -> None:
    fill(writer_settings, 35)
    with writer(writer_settings) as connection:
        connection.execute(change.encode())
    things = stream_of("things")
    process_once(settings, [things])
    ((_, mode),) = windows(settings, things)
    assert FIRST_LOAD not in mode
    check(settings, things)


@pytest.mark.parametrize("point", [Point.FILES_FINISHED, Point.FILE_STAGED, Point.WINDOW_STAGED, Point.WATERMARK_MOVED])
def test_a_load_that_is_killed_goes_on_where_it_stopped(
    settings: Settings, writer_settings: Settings, monkeypatch: pytest.MonkeyPatch, point: Point
) -> None:
    """Rows change, arrive late and are deleted between the two processors."""
    fill(writer_settings, 35)
    things, hits = stream_of("things"), []

    def reached(here: Point, of: str) -> None:
        hits.append(here)
        if here is point and hits.count(point) == 2:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(cycle, "reached", reached)
        with psycopg.connect(writer_settings.postgres_dsn) as late:
            late.execute("insert into things (id, note) values (201, 'late')")
            with pytest.raises(Killed):
                process_once(settings, [things])
            with writer(writer_settings) as connection:
                connection.execute(
                    "update things set note = 'new', changed_at = now() at time zone 'utc' where id in (3, 15, 34);"
                    "insert into things (id) values (202)"
                )
            staged = windows(settings, things)
            process_once(settings, [things])
            assert windows(settings, things)[: len(staged)] == staged, "what was staged is not read again"
            late.commit()
    process_once(settings, [things])
    assert FIRST_LOAD not in read_watermarks(settings)["things"].mode
    warehouse = open_warehouse(settings)
    warehouse.load(things)
    # Of the three changed rows, the old version was staged of those in the first window, or the first two.
    old = 1 if point in (Point.FILES_FINISHED, Point.FILE_STAGED) else 2
    found = warehouse.execute(f"select count(*), count(distinct id) from {things.raw_table}")
    assert found == [(35 - 3 + old + 3 + 2, 37)]
    check(settings, things)


def test_lines_wait_for_all_windows_of_their_orders(settings: Settings, writer_settings: Settings) -> None:
    """After a kill, too, a row is staged after the row that it refers to."""
    fill(writer_settings, 35)
    with writer(writer_settings) as connection:
        connection.execute(
            "create table parts (id int primary key, thing int, changed_at timestamp not null);"
            "create index on parts (changed_at);"
            "insert into parts select id, 36 - id, changed_at from things"
        )
    things = stream_of("things")
    parts = stream_of(
        "parts", name="parts", stage="parts_stage", raw_table="raw_ext.parts_raw", references={"things": ("thing",)}
    )
    process_once(settings, [things, parts])
    stage = open_stage(settings)
    first_part = min(window.staged_at for window in stage.windows("parts_stage"))
    assert len(stage.windows("parts_stage")) == 4
    assert max(window.staged_at for window in stage.windows("things_stage")) <= first_part
    assert read_watermarks(settings)["parts"].value > OLD + timedelta(days=34)
    check(settings, things)


def test_a_stream_that_is_read_again_has_windows_too(settings: Settings, writer_settings: Settings) -> None:
    fill(writer_settings, 35)
    things = stream_of("things")
    process_once(settings, [things])
    reset_stream(settings, things, OLD + timedelta(days=11))
    process_once(settings, [things])
    assert [rows for rows, _ in windows(settings, things)][-3:] != [35]
    check(settings, things)
