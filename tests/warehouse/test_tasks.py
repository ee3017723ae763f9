"""The task graph: its order, what a failure skips, what is recorded, and the schedule."""

import threading
from pathlib import Path
from typing import Any

import pytest

from adventure.errors import AlreadyRunning, BuildFailed, ConfigError, StageDamaged
from adventure.settings import Settings, load_settings
from adventure.streams import Stream
from adventure.warehouse import Moved, tasks
from adventure.warehouse.duckdb import DuckDBWarehouse
from adventure.warehouse.tasks import run_task, serve

STREAMS = tuple(
    Stream(name, "postgres", "public", name, "at", ("id",), f"{name}_stage", f"raw_ext.{name}_raw")
    for name in ("a", "b")
)
ALL = ["load_a", "cleanup_a", "load_b", "cleanup_b", "build", "publish"]


class Recorded(DuckDBWarehouse):
    """A warehouse whose jobs only say that they ran; those in `fails` fail."""

    ran: list[str]
    fails: dict[str, Exception]
    due = True

    def _job(self, name: str) -> None:
        self.ran.append(name)
        if name in self.fails:
            raise self.fails[name]

    def load(self, stream: Stream) -> Moved:
        self._job(f"load_{stream.name}")
        return Moved(3, 1)

    def cleanup(self, stream: Stream) -> Moved:
        self._job(f"cleanup_{stream.name}")
        return Moved(3, 2)

    def build(self, *, full_refresh: bool = False) -> str:
        self._job("build")
        return "all models"

    def build_is_due(self) -> bool:
        return self.due

    def publish(self) -> int:
        self._job("publish")
        return 5


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path)


@pytest.fixture
def warehouse(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    recorded = Recorded(settings)
    recorded.ran, recorded.fails = [], {}
    monkeypatch.setattr(tasks, "open_warehouse", lambda _: recorded)
    return recorded


def outcomes(runs: list[Any]) -> dict[str, str]:
    return {run.name: run.outcome for run in runs}


def test_all_tasks_run_in_the_order_of_the_graph_and_are_recorded(settings: Settings, warehouse: Recorded) -> None:
    runs = run_task(settings, STREAMS)
    assert warehouse.ran == [run.name for run in runs] == ALL
    assert [(run.name, run.outcome, run.rows, run.files) for run in warehouse.last_runs()][:2] == [
        ("load_a", "succeeded", 3, 1),
        ("cleanup_a", "succeeded", 3, 2),
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


def test_a_failure_skips_what_depends_on_it_and_nothing_else(settings: Settings, warehouse: Recorded) -> None:
    warehouse.fails["load_a"] = StageDamaged("a file is gone")
    runs = run_task(settings, STREAMS)
    assert outcomes(runs) == {
        "load_a": "failed",
        "cleanup_a": "skipped",
        "load_b": "succeeded",
        "cleanup_b": "succeeded",
        "build": "skipped",
        "publish": "skipped",
    }
    assert (runs[0].message, runs[1].message) == ("a file is gone.", "after load_a failed")


def test_a_failed_build_publishes_nothing(settings: Settings, warehouse: Recorded) -> None:
    warehouse.fails["build"] = BuildFailed("a test failed")
    assert outcomes(run_task(settings, STREAMS))["publish"] == "skipped"
    assert "publish" not in warehouse.ran


def test_an_unknown_task_is_refused_with_the_names(settings: Settings, warehouse: Recorded) -> None:
    with pytest.raises(ConfigError, match=r"no task named load\. Choose one of: load_a, cleanup_a, load_b"):
        run_task(settings, STREAMS, "load")


def test_the_schedule_builds_only_what_is_due(settings: Settings, warehouse: Recorded) -> None:
    warehouse.due = False
    stop = threading.Event()
    server = threading.Thread(target=serve, args=[settings, STREAMS], kwargs={"every": 0.05, "stop": stop})
    server.start()
    while warehouse.ran.count("load_a") < 3:
        stop.wait(0.01)
    with pytest.raises(AlreadyRunning, match="Another task server works on"):
        serve(settings, STREAMS, every=1, stop=stop)
    stop.set()
    server.join()
    assert "build" not in warehouse.ran
    assert {run.name: run.message for run in warehouse.last_runs()}["build"] == "nothing new"


def test_the_schedule_goes_on_after_a_failure(settings: Settings, warehouse: Recorded) -> None:
    warehouse.fails["load_a"] = StageDamaged("a file is gone")
    stop = threading.Event()
    server = threading.Thread(target=serve, args=[settings, STREAMS], kwargs={"every": 0.05, "stop": stop})
    server.start()
    while warehouse.ran.count("load_a") < 2:
        stop.wait(0.01)
    stop.set()
    server.join()
    assert warehouse.ran.count("load_b") >= 1


def test_a_build_is_due_after_a_load_and_not_twice(settings: Settings) -> None:
    warehouse = DuckDBWarehouse(settings)
    assert warehouse.build_is_due()
    warehouse.record(tasks._skipped(tasks.Task("other", (), lambda: (Moved(), "")), ""))
    assert warehouse.build_is_due()
    run = tasks._execute(tasks.Task("build", (), lambda: (Moved(), "")))
    warehouse.record(run)
    assert not warehouse.build_is_due()
