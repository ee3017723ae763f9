"""The verdict reports each problem with its fix, and reports nothing for a healthy pipeline."""

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
HEALTHY = State(
    written_at=NOW - MINUTE,
    interval_sec=60,
    streams=(STREAM,),
    tasks={"load_orders": TASK},
    models=(),
    tests_run=3,
    tested_at=NOW - MINUTE,
    tests=(),
    rejected=(),
)


def streams(**changes: object) -> State:
    return replace(HEALTHY, streams=(replace(STREAM, **changes),))  # type: ignore[arg-type]


def test_a_healthy_pipeline_has_no_problems() -> None:
    assert problems(HEALTHY, None, NOW, 3600) == []


@pytest.mark.parametrize(
    ("state", "severity", "message", "fix"),
    [
        (replace(HEALTHY, written_at=NOW - 5 * MINUTE), "error", "last ran 5 minutes ago", "adventure tasks serve"),
        (
            replace(
                HEALTHY, tasks={"load_orders": replace(TASK, outcome="failed", message="No.", failures_in_a_row=3)}
            ),
            "error",
            "load_orders failed 3 times in a row: No.",
            "adventure tasks run load_orders",
        ),
        (streams(damaged="window.json is torn. Remove it."), "error", "window.json is torn", "Later windows"),
        (
            streams(windows_waiting=2, waiting_since=NOW - 10 * MINUTE),
            "error",
            "2 windows have waited to be loaded for 10 minutes",
            "adventure tasks run load_orders",
        ),
        (
            streams(watermark=None, horizon=None, last_loaded_at=None),
            "warning",
            "no data has arrived",
            "adventure process",
        ),
        (streams(horizon=NOW - 30 * MINUTE), "warning", "the horizon was 29 minutes behind", "open that long"),
        (streams(mode="lookback: no privilege"), "warning", "lookback: no privilege", "pg_read_all_stats"),
        (
            replace(HEALTHY, tests=(TestState("t", "test", "m", "fail", 2, "Got 2", None),)),
            "error",
            "Test t failed with 2 rows: Got 2",
            "below",
        ),
        (
            replace(HEALTHY, tests=(TestState("t", "test", "m", "warn", 1, "", None),)),
            "warning",
            "Test t warned",
            "below",
        ),
        (
            replace(HEALTHY, rejected=(Rejected("orders", "NaN", 1, NOW - MINUTE),)),
            "warning",
            "rejected 1 row that",
            "at the source",
        ),
    ],
)
def test_each_problem_is_reported_with_its_fix(state: State, severity: str, message: str, fix: str) -> None:
    [problem] = problems(state, None, NOW, 3600)
    assert problem.severity == severity
    assert message in problem.message
    assert fix in problem.fix


def test_when_tasks_are_overdue_depends_on_their_interval() -> None:
    old = replace(HEALTHY, written_at=NOW - 90 * MINUTE)
    assert [problem.place for problem in problems(old, None, NOW, 3600)] == ["tasks"]
    assert problems(replace(old, interval_sec=3600), None, NOW, 60) == []
    by_hand = replace(old, interval_sec=None)
    assert problems(by_hand, None, NOW, 3600) == []
    assert [problem.place for problem in problems(by_hand, None, NOW, 60)] == ["tasks"]


@pytest.mark.parametrize(
    ("sign", "severity", "message"),
    [
        (
            Heartbeat(NOW - MINUTE, NOW - MINUTE, NOW - MINUTE, has_ended=True),
            "error",
            "The processor stopped 1 minute ago",
        ),
        (
            Heartbeat(NOW - 3 * MINUTE, NOW - 2 * MINUTE, NOW + MINUTE, has_ended=False),
            "warning",
            "last seen 3 minutes ago",
        ),
        (
            Heartbeat(NOW - 90 * MINUTE, NOW - 30 * MINUTE, NOW - MINUTE, has_ended=False),
            "error",
            "continued after 1 hour",
        ),
    ],
)
def test_a_stopped_or_stuck_processor_is_reported(sign: Heartbeat, severity: str, message: str) -> None:
    """Even if no window waits and the tasks run: otherwise it looks as if there were no sales."""
    [problem] = problems(HEALTHY, sign, NOW, 3600)
    assert (problem.severity, problem.place) == (severity, "processor")
    assert message in problem.message
    assert "adventure process" in problem.fix
    assert f'class="node {severity}' in flow(HEALTHY, [problem], NOW, None, "light")


@pytest.mark.parametrize("waits", [timedelta(0), timedelta(hours=1)])
def test_a_processor_that_waits_for_its_next_cycle_is_ok(waits: timedelta) -> None:
    seen_at = NOW - waits - MINUTE / 2
    assert problems(HEALTHY, Heartbeat(seen_at, seen_at + waits, NOW + MINUTE, has_ended=False), NOW, 3600) == []


def test_errors_come_before_warnings() -> None:
    both = replace(streams(mode="lookback"), written_at=NOW - 60 * MINUTE)
    assert [problem.severity for problem in problems(both, None, NOW, 60)] == ["error", "warning"]


def test_names_from_settings_are_escaped_in_the_flow_diagram() -> None:
    name = "<script>alert('x')</script>"
    state = replace(HEALTHY, streams=(replace(STREAM, stream=name, stage=name, source_table=name, raw_table=name),))
    picture = flow(state, problems(state, None, NOW, 3600), NOW, None, "light")
    assert "<script" not in picture
    assert picture.count("&lt;script&gt;") == 4
