"""The rules find each kind of problem, and `status` and the Pipeline page show the same findings."""

import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import streamlit as st

from adventure.core.failures import Failure
from adventure.core.heartbeat import Heartbeat
from adventure.dashboard import format
from adventure.dashboard.pipeline import page
from adventure.dashboard.pipeline.flow import flow
from adventure.dashboard.pipeline.state import State as PageState
from adventure.monitoring import status
from adventure.monitoring.health.observed import read_observed, write_observed
from adventure.monitoring.health.problem import KINDS, Kind, Problem
from adventure.monitoring.health.rules import find_problems
from adventure.monitoring.health.state import (
    Fault,
    Freshness,
    KeptLog,
    Limits,
    Lost,
    Observed,
    ObservedStream,
    Report,
    SourceState,
    Stall,
    State,
    StreamState,
    TaskState,
    TestState,
)

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
    damaged_remedy=None,
    rejected_recently=0,
    watermark=NOW - 2 * MINUTE,
    horizon=NOW - 2 * MINUTE,
    mode="horizon",
    rows_loaded=100,
    rows_rejected=0,
    rows_deleted=0,
    last_staged_at=NOW - MINUTE,
    last_loaded_at=NOW - MINUTE,
)
TASK = TaskState("load_orders", NOW - MINUTE, NOW - MINUTE, "succeeded", 100, 1, "", NOW - MINUTE, 0)
FAILED = replace(TASK, outcome="failed", message="No.", failures_in_a_row=3)
FRESH = Freshness("orders_raw", NOW - MINUTE, 3600.0, 7200.0)
HEALTHY = State(
    now=NOW,
    report=Report(NOW - MINUTE, 60, (STREAM,), (TASK,), (), (FRESH,)),
    processor=Heartbeat(NOW, NOW + MINUTE, NOW + 10 * MINUTE, has_ended=False),
    observed=Observed(NOW, (SourceState("postgres", ("orders",)),), (ObservedStream("orders", NOW, "horizon", 0),)),
)
STALL = Stall(NOW - 30 * MINUTE, "nightly report", "End it")
DOWN = Fault("PostgreSQL does not answer", "Start it")


def reported(**changes: Any) -> State:
    return replace(HEALTHY, report=replace(HEALTHY.report, **changes))


def stream(**changes: Any) -> State:
    return reported(streams=(replace(STREAM, **changes),))


def seen(**changes: Any) -> State:
    assert HEALTHY.observed
    return replace(HEALTHY, observed=replace(HEALTHY.observed, **changes))


def seen_stream(**changes: Any) -> State:
    return seen(streams=(replace(ObservedStream("orders", NOW, "horizon", 0), **changes),))


def beating(seen_at: datetime, next_by: datetime, stuck_at: datetime, has_ended: bool = False) -> State:
    return replace(HEALTHY, processor=Heartbeat(seen_at, next_by, stuck_at, has_ended))


# The kind, its severity, a part of its sentence, a part of its remedy, and a state with exactly this problem.
CASES: list[tuple[Kind, str, str, str, State]] = [
    (
        "processor_failing",
        "error",
        "orders: it is away. No rows are read since 11:57 UTC (3 minutes), and the processor retries",
        "Start it",
        replace(HEALTHY, failures=(Failure(("orders",), NOW - 3 * MINUTE, "it is away", "Start it"),)),
    ),
    (
        "processor_stopped",
        "error",
        "stopped 1 minute ago",
        "adventure process",
        beating(NOW - MINUTE, NOW - MINUTE, NOW - MINUTE, has_ended=True),
    ),
    (
        "processor_stuck",
        "warning",
        "last seen 3 minutes ago",
        "adventure process",
        beating(NOW - 3 * MINUTE, NOW - 2 * MINUTE, NOW + MINUTE),
    ),
    (
        "processor_stuck",
        "error",
        "should have continued after 1 hour",
        "adventure process",
        beating(NOW - 90 * MINUTE, NOW - 30 * MINUTE, NOW - MINUTE),
    ),
    (
        "source_unavailable",
        "error",
        "does not answer",
        "Start it",
        seen(sources=(SourceState("postgres", ("orders",), DOWN),)),
    ),
    ("watermarks_unavailable", "error", "does not answer", "Start it", seen(watermarks=DOWN)),
    ("warehouse_unavailable", "error", "does not answer", "Start it", seen(warehouse=DOWN)),
    ("stream_refused", "error", "does not answer", "Start it", seen_stream(refused=DOWN)),
    ("watermark_mismatch", "error", "does not answer", "Start it", seen_stream(mismatch=DOWN)),
    (
        "horizon_stalled",
        "error",
        "not moved for 30 minutes: nightly report has been in one transaction",
        "End it",
        seen(
            sources=(SourceState("postgres", ("orders",), None, Stall(NOW - 30 * MINUTE, "nightly report", "End it")),)
        ),
    ),
    (
        "log_kept",
        "warning",
        "postgres keeps 2.5 GB of its log for the replication slot adventure_1",
        "adventure stream remove",
        seen(sources=(SourceState("postgres", ("orders",), kept=KeptLog("adventure_1", 2_500_000_000, None)),)),
    ),
    (
        "log_kept",
        "warning",
        "removes it after 100 more bytes",
        "adventure process",
        seen(sources=(SourceState("postgres", ("orders",), kept=KeptLog("adventure_1", 1000, 100)),)),
    ),
    ("horizon_stalled", "warning", "29 minutes behind", "end its transaction", stream(horizon=NOW - 30 * MINUTE)),
    (
        "rows_unread",
        "error",
        "rows wait at the source since 2026-01-02 11:30:00 (30 minutes)",
        "adventure process",
        seen_stream(unread_since=NOW - 30 * MINUTE),
    ),
    (
        "stream_empty",
        "warning",
        "no data has arrived",
        "adventure process",
        replace(
            stream(watermark=None, horizon=None, last_loaded_at=None),
            observed=replace(HEALTHY.observed or Observed(NOW), streams=()),
        ),
    ),
    (
        "read_by_lookback",
        "warning",
        "lookback: no privilege",
        "pg_read_all_stats",
        stream(mode="lookback: no privilege"),
    ),
    (
        "read_by_lookback",
        "warning",
        "lookback: no privilege",
        "pg_read_all_stats",
        replace(
            stream(source="shop_eu", mode="lookback: no privilege"),
            observed=Observed(
                NOW,
                (SourceState("shop_eu", ("orders",), kind="postgres"),),
                (ObservedStream("orders", NOW, "lookback", 0),),
            ),
        ),
    ),
    (
        "window_damaged",
        "error",
        "window.json is torn",
        "Restore it",
        stream(damaged="window.json is torn", damaged_remedy="Restore it"),
    ),
    (
        "window_lost",
        "error",
        "neither the stage nor the warehouse holds the rows up to noon",
        "adventure stream reset orders --from 2026-01-02T12:00:00",
        seen_stream(lost=Lost(NOW, "the rows up to noon", NOW)),
    ),
    (
        "windows_waiting",
        "error",
        "2 windows wait to be loaded, the oldest for 10 minutes",
        "adventure tasks run load_orders",
        stream(windows_waiting=2, waiting_since=NOW - 10 * MINUTE),
    ),
    (
        "tasks_overdue",
        "error",
        "last ran 5 minutes ago",
        "adventure tasks serve",
        reported(written_at=NOW - 5 * MINUTE),
    ),
    (
        "task_failed",
        "error",
        "Task load_orders failed 3 times in a row: No",
        "adventure tasks run load_orders",
        reported(tasks=(FAILED,)),
    ),
    (
        "reconcile_failed",
        "error",
        "1 missing",
        "adventure tasks run reconcile",
        reported(tasks=(replace(FAILED, task="reconcile", message="1 missing"),)),
    ),
    (
        "test_failed",
        "error",
        "Test t failed with 2 rows: Got 2",
        "select * from kept",
        reported(tests=(TestState("t", "test", "m", "fail", 2, "Got 2", "kept"),)),
    ),
    (
        "test_warned",
        "warning",
        "Test t warned with 1 rows",
        "adventure build",
        reported(tests=(TestState("t", "test", "m", "warn", 1, "", None),)),
    ),
    (
        "data_stale",
        "warning",
        "orders: the newest row was loaded 1 hour ago",
        "adventure process",
        reported(freshness=(replace(FRESH, loaded_at=NOW - 90 * MINUTE),)),
    ),
    (
        "data_stale",
        "error",
        "expects one every 2 hours",
        "raise the freshness",
        reported(freshness=(replace(FRESH, loaded_at=NOW - 180 * MINUTE),)),
    ),
    (
        "rows_rejected",
        "warning",
        "1 row was rejected in the last day",
        "adventure reconcile orders --repair",
        stream(rejected_recently=1),
    ),
]


def test_each_kind_has_a_heading_in_the_operations_guide() -> None:
    guide = (Path(__file__).parent.parent / "docs" / "operations.md").read_text(encoding="utf-8")
    assert re.findall(r"^#### (\w+)$", guide, re.MULTILINE) == list(KINDS)


def test_each_kind_has_a_case() -> None:
    assert {kind for kind, *_ in CASES} == set(KINDS)


@pytest.mark.parametrize(("kind", "severity", "sentence", "remedy", "state"), CASES, ids=[case[0] for case in CASES])
def test_each_problem_is_the_same_in_status_and_on_the_page(
    kind: Kind,
    severity: str,
    sentence: str,
    remedy: str,
    state: State,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    [problem] = find_problems(state)
    assert (problem.kind, problem.severity, problem.cause) == (kind, severity, None)
    assert sentence in problem.sentence
    assert remedy in problem.remedy
    status.print_problems([problem])
    printed = " ".join(capsys.readouterr().out.split())
    assert printed == (f"{'Problem' if severity == 'error' else 'Warning'}: {problem.sentence}. Fix: {problem.remedy}.")
    shown: dict[str, str] = {}
    for name in ("error", "warning"):
        monkeypatch.setattr(st, name, lambda text, icon, name=name: shown.update({name: text}))
    page.show_verdict([problem], has_rows=True)
    assert list(shown) == [severity]
    assert format.markdown(problem.sentence) in shown[severity]
    assert all(f"`{command}`" in shown[severity] for command in re.findall("`(.*?)`", problem.remedy))
    # The page reads observations from a file.
    assert state.observed
    write_observed(tmp_path / "observed.json", state.observed)
    assert find_problems(replace(state, observed=read_observed(tmp_path / "observed.json"))) == [problem]


def test_a_healthy_pipeline_has_no_problems() -> None:
    assert find_problems(HEALTHY) == []
    assert find_problems(State(NOW)) == [], "what cannot be seen is no problem"


def test_a_dead_database_is_above_what_follows_from_it(capsys: pytest.CaptureFixture[str]) -> None:
    state = replace(
        reported(freshness=(replace(FRESH, loaded_at=NOW - 90 * MINUTE),)),
        failures=(Failure(("orders",), NOW - 3 * MINUTE, "it is away", "Start it"),),
        observed=replace(
            seen(sources=(SourceState("postgres", ("orders",), DOWN),)).observed or Observed(NOW),
            streams=(ObservedStream("orders", NOW, unread_since=NOW - 30 * MINUTE),),
        ),
    )
    found = find_problems(state)
    assert [(each.kind, each.cause and each.cause.kind) for each in found] == [
        ("source_unavailable", None),
        ("processor_failing", "source_unavailable"),
        ("rows_unread", "source_unavailable"),
        ("data_stale", "source_unavailable"),
    ]
    status.print_problems(found)
    lines = [
        line for line in capsys.readouterr().out.splitlines() if line.lstrip().startswith(("Prob", "There", "Fix"))
    ]
    assert [line.partition(":")[0] for line in lines] == ["Problem", "  Fix", *["  Therefore"] * 3]
    assert [page._line(each).partition("-")[0] for each in found] == ["", "    ", "    ", "    "]


CHAINS: list[tuple[State, list[tuple[str, str | None]]]] = [
    (
        replace(
            stream(windows_waiting=2, waiting_since=NOW - 10 * MINUTE),
            report=replace(
                stream(windows_waiting=2, waiting_since=NOW - 10 * MINUTE).report, written_at=NOW - 9 * MINUTE
            ),
        ),
        [("tasks_overdue", None), ("windows_waiting", "tasks_overdue")],
    ),
    (
        reported(
            tests=(TestState("t", "test", "m", "fail", 2, "Got 2", None),),
            tasks=(replace(FAILED, task="build"), FAILED),
        ),
        [("task_failed", None), ("test_failed", None), ("task_failed", "test_failed")],
    ),
    (
        replace(HEALTHY, report=replace(stream(damaged="torn", damaged_remedy="Restore it").report, tasks=(FAILED,))),
        [("window_damaged", None), ("task_failed", "window_damaged")],
    ),
    (
        reported(streams=(replace(STREAM, mode="lookback"),), written_at=NOW - 60 * MINUTE),
        [("tasks_overdue", None), ("read_by_lookback", None)],
    ),
]


@pytest.mark.parametrize(("state", "expected"), CHAINS)
def test_consequences_follow_their_cause_and_errors_come_first(
    state: State, expected: list[tuple[str, str | None]]
) -> None:
    assert [(each.kind, each.cause.kind if each.cause else None) for each in find_problems(state)] == expected


def test_when_tasks_are_overdue_depends_on_their_interval() -> None:
    def kinds(interval: float | None, default: float) -> list[str]:
        state = reported(written_at=NOW - 90 * MINUTE, interval_sec=interval)
        return [problem.kind for problem in find_problems(replace(state, limits=Limits(default)))]

    assert kinds(60, 3600) == ["tasks_overdue"]
    assert kinds(3600, 60) == []
    assert kinds(None, 3600) == []
    assert kinds(None, 60) == ["tasks_overdue"]


def test_old_observations_are_not_judged() -> None:
    """The task server has stopped since: that is the problem, and what it saw may have ended."""
    state = seen(sources=(SourceState("postgres", ("orders",), DOWN),), at=NOW - 20 * MINUTE)
    assert find_problems(state) == []


@pytest.mark.parametrize("waits", [timedelta(0), timedelta(hours=1)])
def test_a_processor_that_waits_for_its_next_cycle_is_ok(waits: timedelta) -> None:
    seen_at = NOW - waits - MINUTE / 2
    assert find_problems(beating(seen_at, seen_at + waits, NOW + MINUTE)) == []


def picture(state: State, found: list[Problem] | None = None) -> str:
    found = find_problems(state) if found is None else found
    return flow(PageState(state.report, (), 3, NOW, ()), found, NOW, None, "light")


@pytest.mark.parametrize(
    ("state", "marks"),
    [
        (HEALTHY, [None, None, None]),
        (beating(NOW - MINUTE, NOW - MINUTE, NOW - MINUTE, has_ended=True), ["error", None, None]),
        (reported(tasks=(FAILED,)), [None, None, "error"]),
        (reported(tasks=(replace(TASK, outcome="skipped"),)), [None, None, "warning"]),
        (reported(tasks=()), [None, None, "open"]),
        (stream(rejected_recently=2, rows_rejected=2), [None, None, "warning"]),
        (stream(rows_rejected=2), [None, None, "open"]),
        (stream(damaged="torn"), ["error", "error", None]),
    ],
)
def test_the_flow_diagram_marks_where_a_problem_is(state: State, marks: list[str | None]) -> None:
    nodes = re.findall(r'class="node (\w+)"', picture(state))
    assert nodes == [mark or "ok" for mark in marks]


@pytest.mark.parametrize("task", ["build", "publish"])
@pytest.mark.parametrize(
    ("outcome", "mark"), [("succeeded", "ok"), ("skipped", "warning"), ("failed", "error"), (None, "open")]
)
def test_a_build_or_publication_that_did_not_succeed_is_not_ok(task: str, outcome: str | None, mark: str) -> None:
    both = tuple(
        replace(TASK, task=name, outcome=(outcome or "") if name == task else "succeeded")
        for name in ("build", "publish")
        if outcome or name != task
    )
    drawn = dict(
        zip(
            ("build", "publish"), re.findall(r'class="node (\w+) tall"', picture(reported(tasks=both), [])), strict=True
        )
    )
    assert drawn == {"build": "ok", "publish": "ok"} | {task: mark}


@pytest.mark.parametrize(("has_rows", "kind"), [(True, "success"), (False, "info")])
def test_nothing_is_fine_before_a_row_is_loaded(has_rows: bool, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    for name in ("success", "info"):
        monkeypatch.setattr(st, name, lambda text, icon, name=name: shown.append(name))
    page.show_verdict([], has_rows=has_rows)
    assert shown == [kind]


def test_names_from_settings_are_escaped_in_the_flow_diagram() -> None:
    name = "<script>alert('x')</script>"
    drawn = picture(stream(stream=name, stage=name, source_table=name, raw_table=name))
    assert "<script" not in drawn
    assert drawn.count("&lt;script&gt;") == 4
