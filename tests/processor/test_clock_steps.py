"""When the server's clock is set back, rows with times that were read already are still read, and it is logged."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adventure.core import clock
from adventure.core.clock import Moment
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import Databases, create_databases
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline, process_once
from adventure.processor.state import read_watermarks
from adventure.sources.postgres.clock_steps import LastRead, floor_of
from adventure.sources.postgres.horizon import Horizon
from tests.clocked import ClockedServer, clocked_server
from tests.processor.conftest import Rows, writer

Staged = Callable[[Stream], Rows]
NOTE = "horizon, the clock was set back: read again until it passes "


@pytest.fixture(scope="module")
def clocked(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[ClockedServer]:
    with clocked_server(tmp_path_factory.mktemp("clocked") / "postgres", sandbox) as server:
        yield server


@pytest.fixture
def databases(clocked: ClockedServer, request: pytest.FixtureRequest) -> Databases:
    """Settings for the server whose clock is set. It holds the watermarks too, as by default."""
    clocked.set_clock(0)
    return create_databases(clocked, f"sales_{abs(hash(request.node.name)) % 10**9}")  # type: ignore[arg-type]


@pytest.fixture
def connection(writer_settings: Settings, things: Stream) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    with writer(writer_settings) as connection:
        yield connection


def insert(connection: psycopg.Connection[tuple[Any, ...]], number: int) -> None:
    connection.execute("insert into things (id) values (%s)", [number])


def ids(rows: Rows) -> list[int]:
    return sorted({row["id"] for row in rows})


def test_rows_written_after_a_step_back_are_read_and_logged(
    clocked: ClockedServer,
    settings: Settings,
    things: Stream,
    connection: psycopg.Connection[tuple[Any, ...]],
    staged: Staged,
    capsys: pytest.CaptureFixture[str],
) -> None:
    insert(connection, 1)
    time.sleep(0.15)
    with open_pipeline(settings, [things]) as pipeline:
        run_cycle(pipeline)
        watermark = read_watermarks(settings)["things"].value
        clocked.set_clock(-30)
        for number in (2, 3):
            insert(connection, number)
            time.sleep(0.15)
            run_cycle(pipeline)
        assert sorted(row["id"] for row in staged(things)) == [1, 2, 3], "each once"
        mark = read_watermarks(settings)["things"]
        assert mark.mode == f"{NOTE}{watermark:%Y-%m-%d %H:%M:%S}"
        assert mark.value == watermark
        assert capsys.readouterr().out.count("things: the clock of the source database was set back by 30.") == 1
        clocked.set_clock(0)
        insert(connection, 4)
        time.sleep(0.15)
        run_cycle(pipeline)
        run_cycle(pipeline)
        assert read_watermarks(settings)["things"].mode == "horizon"
    assert sorted(row["id"] for row in staged(things)) == [1, 1, 2, 3, 4], "what was staged before the step, twice"


def test_a_step_back_while_no_processor_runs_is_noticed_at_the_next_start(
    clocked: ClockedServer,
    settings: Settings,
    things: Stream,
    connection: psycopg.Connection[tuple[Any, ...]],
    staged: Staged,
) -> None:
    insert(connection, 1)
    process_once(settings, [things])
    clocked.set_clock(-30)
    for number in (2, 3):
        insert(connection, number)
        process_once(settings, [things])
    assert sorted(row["id"] for row in staged(things)) == [1, 2, 3]
    assert read_watermarks(settings)["things"].mode.startswith(NOTE)


@pytest.mark.parametrize("restarts", [False, True])
def test_a_step_back_is_noticed_by_our_own_clock_after_the_servers_has_caught_up(
    clocked: ClockedServer,
    settings: Settings,
    things: Stream,
    connection: psycopg.Connection[tuple[Any, ...]],
    staged: Staged,
    restarts: bool,
) -> None:
    insert(connection, 1)
    time.sleep(0.15)
    with open_pipeline(settings, [things]) as pipeline:
        run_cycle(pipeline)
        clocked.set_clock(-1.5)
        insert(connection, 2)
        time.sleep(2)
        if not restarts:
            run_cycle(pipeline)
    if restarts:
        process_once(settings, [things])
    assert ids(staged(things)) == [1, 2]


def test_a_transaction_that_was_open_when_the_clock_was_set_back_is_not_lost(
    clocked: ClockedServer,
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
    connection: psycopg.Connection[tuple[Any, ...]],
    staged: Staged,
) -> None:
    with psycopg.connect(writer_settings.postgres_dsn) as late, open_pipeline(settings, [things]) as pipeline:
        insert(late, 1)
        insert(connection, 2)
        time.sleep(0.15)
        run_cycle(pipeline)
        clocked.set_clock(-30)
        insert(connection, 3)
        time.sleep(0.15)
        run_cycle(pipeline)
        late.commit()
        clocked.set_clock(0)
        time.sleep(0.15)
        run_cycle(pipeline)
    assert ids(staged(things)) == [1, 2, 3]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_transaction_across_a_step_is_not_lost_though_it_began_at_a_later_time_than_it_wrote(
    clocked: ClockedServer,
    settings: Settings,
    writer_settings: Settings,
    things: Stream,
    connection: psycopg.Connection[tuple[Any, ...]],
    staged: Staged,
    restarts: bool,
) -> None:
    """Its start is above the clock after the step, so the horizon does not wait for it."""
    connection.execute("alter table things alter changed_at set default clock_timestamp()")
    with psycopg.connect(writer_settings.postgres_dsn) as late:
        with open_pipeline(settings, [things]) as pipeline:
            insert(connection, 1)
            time.sleep(0.15)
            run_cycle(pipeline)
            late.execute("select now()")
            clocked.set_clock(-30)
            insert(late, 2)
            for number in (3, 4):
                insert(connection, number)
                time.sleep(0.15)
                run_cycle(pipeline)
            assert ids(staged(things)) == [1, 3, 4]
            clocked.set_clock(0)
            insert(connection, 5)
            time.sleep(0.15)
            if not restarts:
                run_cycle(pipeline)
                mode = read_watermarks(settings)["things"].mode
                assert mode == NOTE.replace("it passes ", "the transactions that were open have ended")
                late.commit()
                run_cycle(pipeline)
        if restarts:
            process_once(settings, [things])
            late.commit()
            process_once(settings, [things])
    assert ids(staged(things)) == [1, 2, 3, 4, 5]


def test_the_second_that_was_not_over_before_the_watermark_is_read_when_it_is(
    clocked: ClockedServer,
    settings: Settings,
    things: Stream,
    connection: psycopg.Connection[tuple[Any, ...]],
    staged: Staged,
) -> None:
    """A second occurs twice for a cursor of whole seconds. A window ends in the middle of its second occurrence."""
    connection.execute("alter table things alter changed_at type timestamp(0)")
    second = datetime.now(UTC).replace(microsecond=0).timestamp()

    def clock_is(seconds: float) -> None:
        clocked.set_clock(second + seconds - time.time())

    with open_pipeline(settings, [things]) as pipeline:
        clock_is(0)
        insert(connection, 1)
        clock_is(1.3)
        run_cycle(pipeline)
        clock_is(-0.3)
        insert(connection, 2)
        connection.execute("update things set note = 'changed', changed_at = default where id = 1")
        clock_is(0.2)
        run_cycle(pipeline)
        clock_is(3)
        run_cycle(pipeline)
        run_cycle(pipeline)
    assert ids(staged(things)) == [1, 2]
    assert [row["note"] for row in staged(things) if row["id"] == 1][-1] == "changed"
    assert len(staged(things)) <= 4


def test_a_session_with_an_old_message_is_no_clock_step(
    settings: Settings, things: Stream, connection: psycopg.Connection[tuple[Any, ...]], staged: Staged
) -> None:
    """LISTEN starts transactions with the time of the session's last message, so the horizon goes back briefly."""
    insert(connection, 1)
    time.sleep(0.15)
    with open_pipeline(settings, [things]) as pipeline:
        run_cycle(pipeline)
        old = LastRead.of(read_watermarks(settings)["things"])
        with psycopg.connect(settings.postgres_dsn) as reader:
            reader.execute("select 1")
            run_cycle(pipeline)
        run_cycle(pipeline)
        assert LastRead.of(read_watermarks(settings)["things"]) == old
    assert [row["id"] for row in staged(things)] == [1]


NOON = datetime(2026, 1, 2, 12)
OWN = Moment(NOON, "boot", 1000.0)
LAST = LastRead(NOON - timedelta(seconds=5), NOON, OWN, OWN)


def own(seconds: float, **changes: Any) -> Moment:
    return replace(Moment(NOON + timedelta(seconds=seconds), "boot", 1000.0 + seconds), **changes)


@pytest.mark.parametrize(
    ("last", "clock", "moment", "behind", "reported"),
    [
        pytest.param(LAST, 10, own(10), 0, False, id="both advance"),
        pytest.param(LAST, 3600, own(10), 0, False, id="the server's is set forward"),
        pytest.param(LAST, 9.96, own(10), 0, False, id="less than the margin"),
        pytest.param(LAST, 9.5, own(10), 0.5, False, id="less than a second is read again without a word"),
        pytest.param(LAST, 4, own(10), 6, True, id="set back, and past the old horizon by now"),
        pytest.param(LAST, -20, own(10), 30, True, id="set back below it"),
        pytest.param(LAST, 86400 - 5, own(86400), 5, False, id="a day's drift"),
        pytest.param(LAST, 4, own(10, wall=NOON - timedelta(hours=1)), 6, True, id="our wall clock as well"),
        pytest.param(LAST, 4, own(10, boot="other", uptime=3.0), 6, True, id="after a boot, by the wall clock"),
        pytest.param(
            LAST, -20, Moment(NOON - timedelta(seconds=20), "other", 3.0), 86420, True, id="nobody knows how long ago"
        ),
        pytest.param(replace(LAST, asked=None, answered=None), 10, own(10), 0, False, id="an earlier version's mark"),
        pytest.param(replace(LAST, asked=None, answered=None), -20, own(10), 86420, True, id="and a step below it"),
    ],
)
def test_how_far_below_the_last_horizon_rows_may_have_been_written(
    last: LastRead, clock: float, moment: Moment, behind: float, reported: bool
) -> None:
    now = Horizon(NOON + timedelta(seconds=clock), timedelta(0), None, moment, moment)
    floor = floor_of(last, now)
    assert last.horizon - floor.moment == floor.behind == timedelta(seconds=behind)
    assert floor.is_reported is reported


def test_a_last_read_is_kept_on_a_machine_without_a_boot_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_BOOT_FILE", Path("/does/not/exist"))
    own = Moment(NOON, clock._boot.__wrapped__(), 5.0)
    last = LastRead(NOON, NOON, own, own)
    mark = Watermark("things", NOON, NOON, "horizon", NOON, position=f"16384 {last.to_text()}")
    assert LastRead.of(mark) == last
