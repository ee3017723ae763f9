"""With cursors coarser than a microsecond, by type or by their values, no row is lost between two values."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from adventure.core.clock import utc_now
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline, process_once
from adventure.processor.state import read_watermarks
from adventure.sources.postgres.resolution import A_DAY, MICROSECOND, SECOND, Measure, Resolution, lookback, whole_units
from tests.processor.conftest import Rows, stream_of, writer

Staged = Callable[[Stream], Rows]

SECONDS = 2.5
"""How long to write rows: several seconds, with many windows in each."""


def make(settings: Settings, cursor: str) -> Stream:
    """Create a table whose cursor has this declaration; `domain` means that a domain has it."""
    with writer(settings) as connection:
        connection.execute("create domain rounded as timestamptz(0) default now()")
        connection.execute(f"create table coarse (id integer primary key, changed_at {cursor}, note text)")
        connection.execute("create index on coarse (changed_at)")
    return stream_of("coarse")


def put(settings: Settings, number: int, moment: datetime, note: str | None = None) -> None:
    with writer(settings) as connection:
        connection.execute(
            "insert into coarse values (%s, %s, %s) on conflict (id) do update"
            " set changed_at = excluded.changed_at, note = excluded.note",
            [number, moment, note],
        )


def ids(rows: Rows) -> set[int]:
    return {row["id"] for row in rows}


def midnight(days_ago: int = 0) -> datetime:
    return utc_now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days_ago)


@pytest.mark.parametrize(
    ("cursor", "mode"),
    [
        ("timestamptz(0) default now()", "horizon, whole seconds"),
        ("timestamp(0) default (now() at time zone 'utc')", "horizon, whole seconds"),
        ("timestamptz(1) default now()", "horizon, steps of 0.1 s"),
        ("rounded", "horizon, whole seconds"),
        ("timestamptz default date_trunc('second', now())", "horizon, whole seconds"),
        ("timestamptz default to_timestamp(60 * floor(extract(epoch from now()) / 60))", "horizon, whole minutes"),
        ("timestamptz default current_date", "horizon, whole days"),
    ],
)
def test_no_row_is_lost_while_rows_are_written(
    settings: Settings, writer_settings: Settings, staged: Staged, cursor: str, mode: str
) -> None:
    stream = make(writer_settings, cursor)
    written: list[int] = []
    ends_at = time.monotonic() + SECONDS

    def write() -> None:
        with writer(writer_settings) as connection:
            while time.monotonic() < ends_at:
                connection.execute("insert into coarse (id) values (%s)", [len(written)])
                written.append(len(written))
                time.sleep(0.003)

    thread = threading.Thread(target=write)
    thread.start()
    with open_pipeline(settings, [stream]) as pipeline:
        while thread.is_alive():
            assert not run_cycle(pipeline).failures
        thread.join()
        time.sleep(1.7)  # a value may lie half a second above the clock, and its second has to be over
        assert not run_cycle(pipeline).failures
    assert ids(staged(stream)) == set(written)
    found = read_watermarks(settings)["things"].mode
    expected = "horizon, whole" if "minutes" in mode else mode  # a minute may begin an hour
    assert found.startswith((expected, "horizon, some whole")), "a value on a whole minute may stand for all of it"


def test_rows_with_todays_date_are_staged_all_day(
    settings: Settings, writer_settings: Settings, staged: Staged
) -> None:
    stream = make(writer_settings, "timestamp")
    with open_pipeline(settings, [stream]) as pipeline:
        for number in range(4):
            put(writer_settings, number, midnight())
            run_cycle(pipeline)
            assert ids(staged(stream)) == set(range(number + 1))
        before = len(staged(stream))
        run_cycle(pipeline)
        assert len(staged(stream)) == before, "what was staged already is not staged again"
    assert read_watermarks(settings)["things"].mode == "horizon, whole days, zone not seen yet"


def test_a_version_with_the_same_coarse_cursor_is_staged_and_loaded_last(
    settings: Settings, writer_settings: Settings, staged: Staged
) -> None:
    stream = make(writer_settings, "timestamp")
    notes = [f"version {number}" for number in range(5)]
    with open_pipeline(settings, [stream]) as pipeline:
        for note in notes:
            put(writer_settings, 1, midnight(), note)
            run_cycle(pipeline)
    # The loader loads windows in the order in which the stage lists them.
    assert [row["note"] for row in staged(stream)][-len(notes) + 1 :] == notes[1:]


@pytest.mark.parametrize(("cursor", "microsecond"), [("timestamptz(0)", 0), ("timestamp(3)", 123_000)])
def test_a_version_with_the_same_rounded_cursor_is_staged_in_a_lookback(
    settings: Settings, writer_settings: Settings, staged: Staged, cursor: str, microsecond: int
) -> None:
    """Two transactions begin within one unit of the type; the later one commits when a window has read the first."""
    stream = replace(make(writer_settings, cursor), lookback=timedelta(minutes=5))
    moment = utc_now().replace(microsecond=microsecond) - timedelta(seconds=3)
    with open_pipeline(settings, [stream]) as pipeline:
        for note in ("first", "second", "second"):
            put(writer_settings, 1, moment, note)
            assert not run_cycle(pipeline).failures
    assert [row["note"] for row in staged(stream)] == ["first", "second"]


def test_a_new_processor_finds_rows_added_for_today_meanwhile(
    settings: Settings, writer_settings: Settings, staged: Staged
) -> None:
    stream = make(writer_settings, "timestamp")
    for number in range(3):
        put(writer_settings, number, midnight())
        process_once(settings, [stream])
    assert ids(staged(stream)) == {0, 1, 2}


def test_dates_beside_moments_are_read_again_for_a_day(
    settings: Settings, writer_settings: Settings, staged: Staged
) -> None:
    stream = replace(make(writer_settings, "timestamp"), timezone="UTC")
    moment = utc_now() - timedelta(seconds=1)
    for number in range(3):
        put(writer_settings, number, midnight())
        put(writer_settings, 10 + number, moment.replace(microsecond=123_456 + number))
    process_once(settings, [stream])
    put(writer_settings, 3, midnight())
    process_once(settings, [stream])
    assert ids(staged(stream)) == {0, 1, 2, 3, 10, 11, 12}
    assert read_watermarks(settings)["things"].mode == "horizon, some whole days"


def test_a_writer_that_switches_to_dates_is_noticed_and_missed_rows_are_read(
    settings: Settings, writer_settings: Settings, staged: Staged
) -> None:
    stream = make(writer_settings, "timestamp")
    with open_pipeline(settings, [stream]) as pipeline:
        put(writer_settings, 0, midnight(1).replace(hour=15, microsecond=123_456))
        run_cycle(pipeline)
        put(writer_settings, 1, midnight(1))
        run_cycle(pipeline)
        for number in range(2, 5):
            put(writer_settings, number, midnight())
        run_cycle(pipeline)
    assert ids(staged(stream)) == {0, 1, 2, 3, 4}


def test_coarse_history_does_not_make_fine_rows_wait(
    settings: Settings, writer_settings: Settings, staged: Staged
) -> None:
    stream = make(writer_settings, "timestamp")
    for number in range(3):
        put(writer_settings, number, midnight(30 - number))
    process_once(settings, [stream])
    put(writer_settings, 3, (utc_now() - timedelta(seconds=1)).replace(microsecond=123_457))
    process_once(settings, [stream])
    put(writer_settings, 4, (utc_now() - timedelta(seconds=0.2)).replace(microsecond=123_458))
    process_once(settings, [stream])
    assert ids(staged(stream)) == {0, 1, 2, 3, 4}
    assert read_watermarks(settings)["things"].mode == "horizon"


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_a_row_that_is_read_again_is_rejected_once(
    settings: Settings, writer_settings: Settings, rejected: Staged, zone: str
) -> None:
    stream = replace(make(writer_settings, "timestamp"), timezone=zone)
    with writer(writer_settings) as connection:
        connection.execute("alter table coarse add amount numeric")
        put(writer_settings, 1, midnight(1))
        connection.execute("update coarse set amount = 'NaN'")
    stream = replace(stream, types={"amount": "decimal(9,2)"})
    with open_pipeline(settings, [stream]) as pipeline:
        for _ in range(2):
            run_cycle(pipeline)
        before = len(rejected(stream))
        for _ in range(3):
            run_cycle(pipeline)
        assert len(rejected(stream)) == before
    assert {row["key"] for row in rejected(stream)} == {"1"}


def test_the_first_day_of_the_calendar_is_a_cursor_like_others(
    settings: Settings, writer_settings: Settings, staged: Staged
) -> None:
    stream = replace(make(writer_settings, "timestamp"), lookback=timedelta(hours=1))
    for number in range(2):
        put(writer_settings, number, datetime(1, 1, 1))
        process_once(settings, [stream])
    assert ids(staged(stream)) == {0, 1}


def test_a_default_that_truncates_counts_before_a_row_has_it(
    settings: Settings, writer_settings: Settings, staged: Staged
) -> None:
    stream = make(writer_settings, "timestamptz default date_trunc('day', now())")
    put(writer_settings, 0, (utc_now() - timedelta(seconds=1)).replace(microsecond=123_456))
    process_once(settings, [stream])
    with writer(writer_settings) as connection:
        connection.execute("insert into coarse (id) values (1)")
    process_once(settings, [stream])
    assert ids(staged(stream)) == {0, 1}


NOON = datetime(2026, 6, 3, 12)


def values(*offsets: float) -> list[datetime]:
    """Return timestamps so many seconds after noon."""
    return [NOON + timedelta(seconds=offset) for offset in offsets]


@pytest.mark.parametrize(
    ("found", "before", "step", "last", "resolution"),
    [
        (values(1.000001, 2), None, MICROSECOND, None, None),
        (values(1, 2, 3), None, MICROSECOND, None, Resolution("seconds")),
        (values(0, 3600, 7200), None, MICROSECOND, None, Resolution("hours")),
        (values(12 * 3600), None, MICROSECOND, None, Resolution("days")),
        # Only one of many seconds is at the start of a minute.
        (values(60), Resolution("seconds"), MICROSECOND, NOON + timedelta(seconds=59), Resolution("seconds")),
        (values(60, 120, 180), Resolution("seconds"), MICROSECOND, NOON, Resolution("minutes")),
        (values(60), None, SECOND, NOON - timedelta(seconds=1), Resolution("seconds")),
        ([], Resolution("days"), MICROSECOND, NOON, Resolution("days")),
        (values(0.001, 0.002, 5), None, MICROSECOND, None, None),
        (
            values(*[0.123457 + n for n in range(50)], 5, 7, 8),
            None,
            MICROSECOND,
            None,
            Resolution("seconds", some=True),
        ),
    ],
)
def test_the_grid_of_the_values_is_measured(
    found: list[datetime],
    before: Resolution | None,
    step: timedelta,
    last: datetime | None,
    resolution: Resolution | None,
) -> None:
    measure = Measure(before, step, last)
    measure.add(pa.array(found, pa.timestamp("us")))
    assert measure.resolution == resolution


def test_values_before_1970_lie_on_the_same_grids() -> None:
    measure = Measure(None, MICROSECOND, None)
    measure.add(pa.array([datetime(1931, 4, 5), datetime(1, 1, 1), None], pa.timestamp("us")))
    assert measure.resolution == Resolution("days")


def test_a_window_ends_where_the_last_whole_unit_does() -> None:
    horizon = datetime(2026, 6, 3, 12, 0, 7, 654_321)
    assert whole_units(horizon, MICROSECOND, None) == horizon
    assert whole_units(horizon, SECOND / 10, None) == horizon.replace(microsecond=600_000)
    assert whole_units(horizon, SECOND, Resolution("days")) == horizon.replace(microsecond=0)


@pytest.mark.parametrize(
    ("mode", "age", "expected"),
    [
        ("horizon", 0, 0),
        ("horizon, whole minutes", 10, 30),
        ("horizon, whole minutes", 600, 0),
        ("horizon, whole days", 10 * 86_400, 43_230),  # It is noon: the watermark is of finer values.
        ("horizon, some whole days", 0, A_DAY.total_seconds()),
    ],
)
def test_how_much_is_read_again(things: Stream, mode: str, age: float, expected: float) -> None:
    mark = Watermark("things", NOON, NOON + timedelta(seconds=age), mode, NOON)
    assert lookback(things, mark, horizon_unknown=False).total_seconds() == expected
    of_writers = lookback(replace(things, lookback=timedelta(seconds=5)), mark, horizon_unknown=False)
    assert of_writers.total_seconds() >= expected + 5
