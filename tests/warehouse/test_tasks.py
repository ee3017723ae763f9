"""The task graph: its order, what a failure skips, what is recorded, and the schedule."""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import AlreadyRunning, BuildFailed, ConfigError, StageDamaged, WarehouseError
from adventure.core.manifest import MANIFEST
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.duckdb import warehouse as duckdb_warehouse
from adventure.destinations.duckdb.connection import connect
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.destinations.results import LoadResult, Outcome, TaskRun
from adventure.destinations.warehouse import Scope
from adventure.tasks import arrivals, server
from adventure.tasks import graph as tasks
from adventure.tasks.graph import run_loads, run_task
from adventure.tasks.server import serve

STREAMS = tuple(
    Stream(name, "postgres", "public", name, "at", ("id",), f"{name}_stage", f"raw_ext.{name}_raw")
    for name in ("a", "b")
)
ALL = ["load_b", "cleanup_b", "load_a", "cleanup_a", "build", "publish"]


class Recorded(DuckDBWarehouse):
    """A warehouse whose jobs only say that they ran; those in `fails` fail."""

    ran: list[str]
    fails: dict[str, Exception]
    due = True
    publish_due = True

    def _job(self, name: str) -> None:
        self.ran.append(name)
        if name in self.fails:
            raise self.fails[name]

    def load(self, stream: Stream) -> LoadResult:
        self._job(f"load_{stream.name}")
        return LoadResult(3, 1)

    def cleanup(self, stream: Stream) -> LoadResult:
        self._job(f"cleanup_{stream.name}")
        return LoadResult(3, 2)

    def build(self, streams: Sequence[Stream], scope: Scope | None = None) -> str:
        self._job("build")
        return "all models"

    def build_is_due(self) -> bool:
        return self.due

    def publish_is_due(self) -> bool:
        return self.publish_due

    def publish(self) -> int:
        self._job("publish")
        return 5


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path, reconcile_interval_sec=0)


@pytest.fixture
def warehouse(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    recorded = Recorded(settings)
    recorded.ran, recorded.fails = [], {}
    for module in (tasks, server):
        monkeypatch.setattr(module, "open_warehouse", lambda _: recorded)
    return recorded


def outcomes(runs: list[Any]) -> dict[str, str]:
    return {run.name: run.outcome for run in runs}


def test_all_tasks_run_in_the_order_of_the_graph_and_are_recorded(settings: Settings, warehouse: Recorded) -> None:
    runs = run_task(settings, STREAMS)
    assert warehouse.ran == [run.name for run in runs] == ALL
    assert [(run.name, run.outcome, run.rows, run.files) for run in warehouse.last_runs()][:2] == [
        ("load_b", "succeeded", 3, 1),
        ("cleanup_b", "succeeded", 3, 2),
    ]
    assert len(warehouse.last_runs()) == len(ALL)


@pytest.mark.parametrize(
    ("name", "ran"),
    [
        ("load_b", ["load_b", "cleanup_b", "build", "publish"]),
        ("cleanup_a", ["cleanup_a"]),
        ("build", ["build", "publish"]),
        ("publish", ["publish"]),
    ],
)
def test_one_task_runs_with_those_that_depend_on_it(
    settings: Settings, warehouse: Recorded, name: str, ran: list[str]
) -> None:
    run_task(settings, STREAMS, name)
    assert warehouse.ran == ran


def test_loads_alone_build_nothing(settings: Settings, warehouse: Recorded) -> None:
    runs = run_loads(settings, STREAMS)
    assert [run.name for run in runs] == warehouse.ran == ["load_b", "cleanup_b", "load_a", "cleanup_a"]
    assert [run.name for run in warehouse.last_runs()] == [run.name for run in runs]


@pytest.mark.parametrize("is_served", [False, True])
def test_short_tasks_share_the_open_file(
    settings: Settings, warehouse: Recorded, monkeypatch: pytest.MonkeyPatch, is_served: bool
) -> None:
    """Opening the file takes longer than most of them, and so does recording each alone."""

    def asks(self: Recorded, name: str) -> None:
        self.ran.append(name)
        if name.startswith(("load", "cleanup")):
            self.execute("select 1")

    def opening(*args: Any) -> Any:
        warehouse.ran.append("open")
        return connect(*args)

    monkeypatch.setattr(tasks, "KEPT_OPEN_SEC", 600)
    monkeypatch.setattr(Recorded, "_job", asks)
    monkeypatch.setattr(duckdb_warehouse, "connect", opening)
    if is_served:
        graph = tasks.task_graph(settings, warehouse, STREAMS)
        list(server._run_due(warehouse, graph, {}, threading.Event()))
    else:
        run_loads(settings, STREAMS)
    assert warehouse.ran[:6] == ["load_b", "open", "cleanup_b", "load_a", "cleanup_a", "open"]
    assert {run.name for run in warehouse.last_runs()} >= {"load_b", "cleanup_b", "load_a", "cleanup_a"}


def test_a_failed_load_blocks_no_other_task(settings: Settings, warehouse: Recorded) -> None:
    warehouse.fails["load_a"] = StageDamaged("a file is missing")
    runs = run_task(settings, STREAMS)
    assert outcomes(runs) == dict.fromkeys(ALL, "succeeded") | {"load_a": "failed"}
    assert [run.message for run in runs if run.outcome == "failed"] == ["a file is missing."]


def test_a_failed_build_publishes_nothing(settings: Settings, warehouse: Recorded) -> None:
    warehouse.fails["build"] = BuildFailed("a test failed")
    (*_, last) = run_task(settings, STREAMS)
    assert (last.name, last.outcome, last.message) == ("publish", "skipped", "after build failed")
    assert "publish" not in warehouse.ran


def test_an_unknown_task_is_refused_with_the_names(settings: Settings, warehouse: Recorded) -> None:
    with pytest.raises(ConfigError, match=r"no task named load\. Choose one of: load_b, cleanup_b, load_a"):
        run_task(settings, STREAMS, "load")


def serve_until(settings: Settings, warehouse: Recorded, name: str, times: int) -> None:
    """Rounds of the task server, until that job has run so often."""
    stop = threading.Event()
    server = threading.Thread(target=serve, args=[settings, STREAMS], kwargs={"interval": 0.02, "stop": stop})
    server.start()
    try:
        while warehouse.ran.count(name) < times and server.is_alive():
            stop.wait(0.01)
    finally:
        stop.set()
        server.join()
    assert warehouse.ran.count(name) >= times


def recorded(warehouse: DuckDBWarehouse, name: str) -> list[tuple[Any, ...]]:
    return warehouse.execute(
        "select outcome, message from raw_ext.task_history where task = ? order by started_at", [name]
    )


def test_a_second_task_server_is_refused(settings: Settings, warehouse: Recorded) -> None:
    stop = threading.Event()
    server = threading.Thread(target=serve, args=[settings, STREAMS], kwargs={"interval": 60, "stop": stop})
    server.start()
    try:
        while "publish" not in warehouse.ran:
            stop.wait(0.01)
        with pytest.raises(AlreadyRunning, match="Another task server uses"):
            serve(settings, STREAMS, interval=1, stop=stop)
    finally:
        stop.set()
        server.join()


def test_the_schedule_builds_and_publishes_only_what_is_due(settings: Settings, warehouse: Recorded) -> None:
    warehouse.due = warehouse.publish_due = False
    serve_until(settings, warehouse, "load_a", 3)
    assert not {"build", "publish"} & set(warehouse.ran)


@pytest.mark.parametrize("staged", [["w1"], ["w1", "w2"]])
def test_a_round_begins_when_windows_were_staged(settings: Settings, staged: list[str]) -> None:
    """Long before the interval ends. A window that was there before ends no wait."""
    stage, stop = FolderStage(settings.stage_dir), threading.Event()

    def put(window_id: str) -> None:
        folder = stage.root / "b_stage" / window_id
        folder.mkdir(parents=True)
        (folder / MANIFEST).write_text("{}")

    put("old")
    known = arrivals.staged(stage, STREAMS)
    waiting = threading.Thread(target=arrivals.wait_for_windows, args=[stage, STREAMS, known, 600, stop])
    waiting.start()
    (stage.root / "b_stage" / "unfinished").mkdir()
    assert not stop.wait(5 * arrivals.LOOK_SEC)
    assert waiting.is_alive()
    for window_id in staged:
        put(window_id)
    waiting.join(60)
    was_waiting = waiting.is_alive()
    stop.set()
    assert not was_waiting


def test_a_stage_that_cannot_be_listed_ends_no_server(settings: Settings) -> None:
    stage = FolderStage(settings.stage_dir)
    stage.root.mkdir(parents=True)
    (stage.root / "b_stage").write_text("no folder")
    assert arrivals.staged(stage, STREAMS) == frozenset()


def test_a_stage_that_costs_credits_is_not_watched(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adventure.destinations.duckdb.published.DuckDBDataset.is_metered", True)
    with pytest.raises(ConfigError, match="--on-arrival does not work with WAREHOUSE=duckdb"):
        serve(settings, STREAMS, interval=1, stop=threading.Event(), on_arrival=True)


def test_a_publish_that_failed_is_retried_without_a_build(settings: Settings, warehouse: Recorded) -> None:
    warehouse.due = False
    warehouse.fails["publish"] = WarehouseError("no space")
    serve_until(settings, warehouse, "publish", 3)
    assert "build" not in warehouse.ran
    assert set(recorded(warehouse, "publish")) == {("failed", "no space.")}


def test_the_schedule_goes_on_after_a_failure(settings: Settings, warehouse: Recorded) -> None:
    warehouse.fails["load_a"] = StageDamaged("a file is missing")
    serve_until(settings, warehouse, "load_a", 2)
    assert warehouse.ran.count("load_b") >= 1


def test_an_idle_server_writes_nothing_to_the_history(
    settings: Settings, warehouse: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.due = warehouse.publish_due = False
    monkeypatch.setattr(warehouse, "load", lambda stream: warehouse._job(f"load_{stream.name}") or LoadResult())
    monkeypatch.setattr(warehouse, "cleanup", lambda stream: warehouse._job(f"cleanup_{stream.name}") or LoadResult())
    warehouse.fails["load_b"] = StageDamaged("a file is missing")
    serve_until(settings, warehouse, "load_b", 2)
    assert len(recorded(warehouse, "load_a")) == 1, "the first, which shows that it ran at all"
    assert set(recorded(warehouse, "load_b")) == {("failed", "a file is missing.")}, "each failure"
    del warehouse.fails["load_b"]
    warehouse.ran.clear()
    serve_until(settings, warehouse, "load_b", 3)
    assert len(recorded(warehouse, "load_a")) == 1
    assert [outcome for outcome, _ in recorded(warehouse, "load_b")].count("succeeded") == 1, "the end of the failures"


def test_the_history_of_the_tasks_is_bounded_and_keeps_the_last_success(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adventure.destinations.common.task_history.RUNS_KEPT", 3)
    warehouse = DuckDBWarehouse(settings)
    moments = [datetime(2026, 1, 1) + timedelta(minutes=minute) for minute in range(10)]
    for number, moment in enumerate(moments):
        warehouse.record_runs(TaskRun("build", moment, moment, "failed" if number else "succeeded", 0, 0, str(number)))
    assert [message for _, message in recorded(warehouse, "build")] == ["0", "7", "8", "9"]


def test_a_build_is_due_after_a_load_and_not_twice(settings: Settings) -> None:
    warehouse = DuckDBWarehouse(settings)
    assert warehouse.build_is_due()
    warehouse.record_runs(tasks._skipped(tasks.Task("other", (), lambda: (LoadResult(), "")), ""))
    assert warehouse.build_is_due()
    run = tasks.run_one(tasks.Task("build", (), lambda: (LoadResult(), "")))
    warehouse.record_runs(run)
    assert not warehouse.build_is_due()


def test_a_publish_is_due_after_a_build_until_one_succeeds(settings: Settings) -> None:
    warehouse = DuckDBWarehouse(settings)
    moments = iter(datetime(2026, 1, 1) + timedelta(minutes=minute) for minute in range(10))

    def record(name: str, outcome: Outcome) -> None:
        moment = next(moments)
        warehouse.record_runs(TaskRun(name, moment, moment, outcome, 0, 0, ""))

    due = [warehouse.publish_is_due()]
    for name, outcome in (
        ("build", "failed"),
        ("build", "succeeded"),
        ("publish", "failed"),
        ("publish", "succeeded"),
        ("build", "failed"),
        ("build", "succeeded"),
    ):
        record(name, outcome)  # type: ignore[arg-type]
        due.append(warehouse.publish_is_due())
    assert due == [False, False, True, True, False, False, True]
