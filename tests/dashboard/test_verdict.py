"""One glance: each thing that can be wrong is said, with what to do, and nothing is said of what is well."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from adventure.core.heartbeat import Heartbeat
from adventure.dashboard.pipeline.flow import flow
from adventure.dashboard.pipeline.state import Rejected, State, StreamState, TaskState, TestState
from adventure.dashboard.pipeline.verdict import problems

NOW = datetime(2026, 1, 2, 12)
MINUTE = timedelta(minutes=1)

STREAM = StreamState(
    stream="orders",
    source="postgres",
    source_table="public.orders",
    stage="orders_stage",
    raw_table="raw_ext.orders_raw",
    raw_rows=100,
    windows_waiting=0,
    files_waiting=0,
    rows_waiting=0,
    bytes_waiting=0,
    waiting_since=None,
    damaged=None,
    watermark=NOW - 2 * MINUTE,
    horizon=NOW - 2 * MINUTE,
    mode="horizon",
    rows_loaded=100,
    rows_rejected=0,
    last_loaded_at=NOW - MINUTE,
)
TASK = TaskState("load_orders", NOW - MINUTE, NOW - MINUTE, "succeeded", 100, 1, "", NOW - MINUTE, 0)
WELL = State(
    written_at=NOW - MINUTE,
    every_sec=60,
    streams=(STREAM,),
    tasks={"load_orders": TASK},
    models=(),
    tests_run=3,
    tested_at=NOW - MINUTE,
    tests=(),
    rejected=(),
)


def streams(**changes: object) -> State:
    return replace(WELL, streams=(replace(STREAM, **changes),))  # type: ignore[arg-type]


def test_nothing_is_said_of_what_is_well() -> None:
    assert problems(WELL, None, NOW, 3600) == []


@pytest.mark.parametrize(
    ("state", "severity", "what", "do"),
    [
        (replace(WELL, written_at=NOW - 5 * MINUTE), "wrong", "last ran 5 minutes ago", "adventure tasks serve"),
        (
            replace(WELL, tasks={"load_orders": replace(TASK, outcome="failed", message="No.", failures_in_a_row=3)}),
            "wrong",
            "load_orders failed 3 times in a row: No.",
            "adventure tasks run load_orders",
        ),
        (streams(damaged="window.json is torn. Remove it."), "wrong", "window.json is torn", "later windows"),
        (
            streams(windows_waiting=2, waiting_since=NOW - 10 * MINUTE),
            "wrong",
            "2 windows have waited to be loaded for 10 minutes",
            "adventure tasks run load_orders",
        ),
        (streams(watermark=None, horizon=None, last_loaded_at=None), "look", "nothing has come", "adventure process"),
        (streams(horizon=NOW - 30 * MINUTE), "look", "its horizon was 29 minutes behind", "open that long"),
        (streams(mode="lookback: no privilege"), "look", "lookback: no privilege", "pg_read_all_stats"),
        (
            replace(WELL, tests=(TestState("t", "test", "m", "fail", 2, "Got 2", None),)),
            "wrong",
            "Test t failed with 2 rows: Got 2",
            "below",
        ),
        (replace(WELL, tests=(TestState("t", "test", "m", "warn", 1, "", None),)), "look", "Test t warns", "below"),
        (
            replace(WELL, rejected=(Rejected("orders", "NaN", 1, NOW - MINUTE),)),
            "look",
            "1 row was set aside",
            "at the source",
        ),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(state: State, severity: str, what: str, do: str) -> None:
    [problem] = problems(state, None, NOW, 3600)
    assert problem.severity == severity
    assert what in problem.what
    assert do in problem.do


def test_what_is_old_depends_on_how_often_the_tasks_run() -> None:
    old = replace(WELL, written_at=NOW - 90 * MINUTE)
    assert [problem.place for problem in problems(old, None, NOW, 3600)] == ["tasks"]
    assert problems(replace(old, every_sec=3600), None, NOW, 60) == []
    by_hand = replace(old, every_sec=None)
    assert problems(by_hand, None, NOW, 3600) == []
    assert [problem.place for problem in problems(by_hand, None, NOW, 60)] == ["tasks"]


@pytest.mark.parametrize(
    ("sign", "severity", "what"),
    [
        (
            Heartbeat(NOW - MINUTE, NOW - MINUTE, NOW - MINUTE, has_ended=True),
            "wrong",
            "The processor stopped 1 minute ago",
        ),
        (
            Heartbeat(NOW - 3 * MINUTE, NOW - 2 * MINUTE, NOW + MINUTE, has_ended=False),
            "look",
            "last seen 3 minutes ago",
        ),
        (Heartbeat(NOW - 90 * MINUTE, NOW - 30 * MINUTE, NOW - MINUTE, has_ended=False), "wrong", "go on after 1 hour"),
    ],
)
def test_a_processor_that_is_not_seen_when_it_meant_to_go_on_is_said(sign: Heartbeat, severity: str, what: str) -> None:
    """Though nothing waits and the tasks run: it looks as if nothing were sold."""
    [problem] = problems(WELL, sign, NOW, 3600)
    assert (problem.severity, problem.place) == (severity, "processor")
    assert what in problem.what
    assert "adventure process" in problem.do
    assert f'class="node {severity}' in flow(WELL, [problem], NOW, None, "light")


@pytest.mark.parametrize("waits", [timedelta(0), timedelta(hours=1)])
def test_a_processor_that_waits_for_its_next_cycle_is_well(waits: timedelta) -> None:
    seen_at = NOW - waits - MINUTE / 2
    assert problems(WELL, Heartbeat(seen_at, seen_at + waits, NOW + MINUTE, has_ended=False), NOW, 3600) == []


def test_what_is_wrong_comes_before_what_wants_a_look() -> None:
    both = replace(streams(mode="lookback"), written_at=NOW - 60 * MINUTE)
    assert [problem.severity for problem in problems(both, None, NOW, 60)] == ["wrong", "look"]


def test_names_from_settings_are_text_in_the_picture() -> None:
    name = "<script>alert('x')</script>"
    state = replace(WELL, streams=(replace(STREAM, stream=name, stage=name, source_table=name, raw_table=name),))
    picture = flow(state, problems(state, None, NOW, 3600), NOW, None, "light")
    assert "<script" not in picture
    assert picture.count("&lt;script&gt;") == 4
