"""`adventure status` reports problems as sentences and by its exit code, and reports nothing else."""

import gzip
import os
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from adventure import cli
from adventure.cli import observe
from adventure.core import heartbeat
from adventure.core.clock import utc_now
from adventure.core.errors import SourceUnavailable
from adventure.core.failures import FailureFile
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.dashboard.data import health
from adventure.dashboard.serve import environment
from adventure.demo.generator.run import backfill
from adventure.destinations.duckdb.connection import file_lock
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.destinations.results import TaskRun
from adventure.factory import open_report
from adventure.monitoring import live
from adventure.monitoring.health.observed import read_observed, write_observed
from adventure.monitoring.health.problem import KINDS, Problem
from adventure.monitoring.health.published import read_report
from adventure.monitoring.health.rules import find_problems
from adventure.monitoring.live import read, read_state
from adventure.monitoring.pipeline_status import read_status
from adventure.processor.run import process_once
from adventure.tasks import watch
from adventure.tasks.metrics import TaskMetrics
from adventure.tasks.watch import check_health
from tests.waiting import until

Find = Callable[..., list[str]]


@pytest.fixture
def find(settings: Settings, streams: tuple[Stream, ...], monkeypatch: pytest.MonkeyPatch) -> Find:
    """Return the sentences of `status`, after comparing its findings with those of the Pipeline page."""

    def sentences(**changes: float) -> list[str]:
        changed = settings.model_copy(update=changes)
        found = find_problems(read_state(changed, streams))
        assert all(problem.remedy for problem in found)
        warehouse = DuckDBWarehouse(changed)
        warehouse.publish_report(streams, interval=None)
        write_observed(changed.observed_path, read(changed, streams).observed)
        for name, value in environment(changed).items():
            monkeypatch.setenv(name, value)
        on_the_page = find_problems(health(read_report(open_report().query), utc_now()))
        assert list(map(facts, on_the_page)) == list(map(facts, found))
        return [problem.sentence for problem in found]

    return sentences


def facts(problem: Problem) -> tuple[str, str, str, tuple[str, ...]]:
    """Return everything but the sentence, in which ages grow."""
    return problem.kind, problem.severity, problem.remedy, problem.streams


def test_a_healthy_pipeline_has_no_problem(
    settings: Settings, writer_settings: Settings, streams: tuple[Stream, ...], find: Find
) -> None:
    backfill(writer_settings, orders=10, days=2, seed=1)
    process_once(settings, streams)
    for stream in streams:
        DuckDBWarehouse(settings).load(stream)
    assert find() == []


def test_rows_waiting_at_the_source_are_a_problem(writer_settings: Settings, find: Find) -> None:
    backfill(writer_settings, orders=200, days=2, seed=1)
    assert find() == []
    time.sleep(1.1)
    found = find(alert_lag_sec=1.0)
    assert [sentence.partition(" since")[0] for sentence in found] == [
        "orders: rows wait at the source",
        "order_details: rows wait at the source",
        "chat_logs: rows wait at the source",
    ]


def test_a_stalled_horizon_is_a_problem(writer_settings: Settings, find: Find) -> None:
    with psycopg.connect(writer_settings.postgres_dsn, application_name="nightly report") as idle:
        idle.execute("select now(), pg_sleep(1.2)")
        assert find() == []
        ((sentence),) = find(alert_lag_sec=1.0)
    assert sentence.startswith("The horizon has not moved for ")
    assert "nightly report" in sentence


def test_a_growing_stage_is_a_problem(
    settings: Settings, writer_settings: Settings, streams: tuple[Stream, ...], find: Find
) -> None:
    backfill(writer_settings, orders=200, days=2, seed=1)
    process_once(settings, streams)
    assert find() == []
    found = find(alert_waiting_sec=0.001)
    assert found[0].startswith("orders: 1 windows wait to be loaded, the oldest for ")
    assert len(found) == 3


def test_a_damaged_window_is_a_problem(
    settings: Settings, writer_settings: Settings, streams: tuple[Stream, ...], find: Find
) -> None:
    backfill(writer_settings, orders=10, days=2, seed=1)
    process_once(settings, streams)
    stage = FolderStage(settings.stage_dir)
    stage.path(stage.windows("orders_stage")[0], "window.json").write_text("{")
    ((sentence),) = find()
    assert sentence.startswith("orders: ")
    assert "is not a window's manifest" in sentence


def test_repeated_failures_of_a_task_are_a_problem(settings: Settings, find: Find) -> None:
    warehouse = DuckDBWarehouse(settings)
    begun = utc_now() - timedelta(hours=1)
    for minute, outcome in enumerate(["failed", "failed", "failed", "succeeded", "failed", "skipped", "failed"]):
        at = begun + timedelta(minutes=minute)
        warehouse.record_runs(TaskRun("build", at, at, outcome, 0, 0, f"no. {minute}"))  # type: ignore[arg-type]
    assert find(alert_failures=3) == []
    assert find() == ["Task build failed 2 times in a row: no. 6"]


def test_rejected_rows_of_the_last_day_are_a_problem(
    settings: Settings, writer_settings: Settings, streams: tuple[Stream, ...], find: Find
) -> None:
    backfill(writer_settings, orders=10, days=2, seed=1)
    with psycopg.connect(writer_settings.postgres_dsn, autocommit=True) as connection:
        connection.execute(
            "update order_details set line_total = 'NaN' where order_qty = (select min(order_qty) from order_details)"
        )
    process_once(settings, streams)
    stage, warehouse = FolderStage(settings.stage_dir), DuckDBWarehouse(settings)
    ((window),) = stage.windows("order_details_stage")
    assert window.rejects
    rows = len(gzip.decompress(stage.path(window, window.rejects.name).read_bytes()).splitlines())
    for stream in streams:
        warehouse.load(stream)
    expected = (
        f"order_details: {rows:,} rows were rejected in the last day, because a value cannot be converted exactly"
    )
    assert find() == [expected]


def test_an_unavailable_source_is_one_problem(settings: Settings, streams: tuple[Stream, ...]) -> None:
    away = settings.model_copy(update={"postgres_port": 1})
    assert [(problem.kind, problem.streams) for problem in find_problems(read_state(away, streams))] == [
        ("source_unavailable", ("orders", "order_details"))
    ]


def test_check_sets_the_exit_code(
    settings: Settings, writer_settings: Settings, streams: tuple[Stream, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = settings.model_copy(update={"alert_lag_sec": 1.0})
    monkeypatch.setattr(observe, "pipeline_of", lambda _context: (strict, streams))
    right = CliRunner().invoke(cli.app, ["status", "--check"])
    assert (right.exit_code, "No problems found." in right.output) == (0, True)
    backfill(writer_settings, orders=10, days=2, seed=1)
    time.sleep(1.1)
    wrong = CliRunner().invoke(cli.app, ["status", "--check"])
    assert wrong.exit_code == 1
    assert "Problem: orders: rows wait at the source since" in wrong.output
    assert CliRunner().invoke(cli.app, ["status"]).exit_code == 0, "without --check the exit code is 0"


def test_what_the_processor_retries_is_a_problem(settings: Settings, find: Find) -> None:
    try:
        heartbeat.begin(settings.processor_heartbeat, 60)
        heartbeat.beat()
        error = SourceUnavailable("the server does not answer", "Start it")
        FailureFile(settings.processor_failures).report({"orders": error, "order_details": error})
        assert find()[0].startswith("orders, order_details: the server does not answer. No rows are read since")
    finally:
        heartbeat.begin(None, 1)


def test_status_shows_the_published_state_while_a_build_has_the_warehouse(
    settings: Settings, writer_settings: Settings, streams: tuple[Stream, ...], find: Find
) -> None:
    backfill(writer_settings, orders=10, days=2, seed=1)
    process_once(settings, streams)
    warehouse = DuckDBWarehouse(settings)
    for stream in streams:
        warehouse.load(stream)
    assert find() == []
    with file_lock(settings.duckdb_path):
        found = read_status(settings, streams)
    assert [stream.rows for stream in found.streams[:2]] == [10, 19]
    [sentence] = found.not_read
    assert sentence.startswith("Loads and tasks are as of ")
    assert found.problems == ()


def test_a_warehouse_that_cannot_be_read_is_a_problem(
    settings: Settings, find: Find, streams: tuple[Stream, ...]
) -> None:
    find()
    settings.duckdb_path.write_bytes(b"no database" * 1000)
    [problem, *_] = read_status(settings, streams).problems
    assert (problem.kind, problem.cause) == ("warehouse_unavailable", None)


def test_a_missing_or_ended_heartbeat_of_the_processor_is_a_problem(settings: Settings, find: Find) -> None:
    try:
        heartbeat.begin(settings.processor_heartbeat, 60)
        heartbeat.beat()
        assert find() == []
        os.utime(settings.processor_heartbeat, (0, 0))
        [sentence] = find()
        assert sentence.startswith("The processor was last seen ")
        heartbeat.end()
        [sentence] = find()
        assert sentence.startswith("The processor stopped ")
    finally:
        heartbeat.begin(None, 1)


def test_the_watch_counts_problems_by_kind_and_shows_them_to_the_dashboard(
    settings: Settings, streams: tuple[Stream, ...]
) -> None:
    registry = CollectorRegistry()
    metrics = TaskMetrics(registry)
    away = settings.model_copy(update={"postgres_port": 1})

    def counted() -> dict[str, float | None]:
        return {kind: registry.get_sample_value("adventure_problem", {"kind": kind}) for kind in KINDS}

    check_health(away, streams, [metrics.set_problems])
    assert {kind: count for kind, count in counted().items() if count} == {"source_unavailable": 1}
    seen = read_observed(away.observed_path)
    assert seen is not None
    assert [source.fault is None for source in seen.sources] == [False, True]
    check_health(settings, streams, [metrics.set_problems])
    assert set(counted().values()) == {0}, "a problem that ended counts no more"


def test_between_two_looks_at_the_warehouse_the_sources_are_judged_with_what_it_showed(
    settings: Settings, streams: tuple[Stream, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with Snowflake, which each look would wake."""
    now, heard = utc_now(), []
    DuckDBWarehouse(settings).record_runs(TaskRun("build", now, now, "failed", 0, 0, "no disk"))

    def hear(problems: list[Problem]) -> None:
        heard.append([each.kind for each in problems])

    last = check_health(settings, streams, [hear])
    monkeypatch.setattr(live, "open_warehouse", lambda *_, **__: pytest.fail("the warehouse was opened"))
    away = settings.model_copy(update={"postgres_port": 1})
    check_health(away, streams, [hear], (), last)
    check_health(settings, streams, [hear], (), last)
    assert heard == [["task_failed"], ["source_unavailable", "task_failed"], ["task_failed"]]


def test_a_metered_warehouse_is_read_once_in_an_interval_and_the_sources_each_minute(
    settings: Settings, streams: tuple[Stream, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[bool] = []

    def look(*arguments: Any) -> object:
        looks.append(len(arguments) > 4)
        return object()

    monkeypatch.setattr(watch, "check_health", look)
    monkeypatch.setattr(watch, "open_report", lambda _: SimpleNamespace(is_metered=True))
    monkeypatch.setattr(watch, "FIRST_AFTER_SEC", 0.0)
    monkeypatch.setattr(watch, "INTERVAL_SEC", 0.001)
    with watch.watching_health(settings.model_copy(update={"tasks_interval_sec": 3600.0}), streams, []):
        until(lambda: len(looks) >= 5)
    assert looks[0] is False
    assert all(looks[1:])
