"""What happens between load and cleanup, and during both: nothing that was not loaded is ever removed."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from adventure.core.errors import StageDamaged
from adventure.core.manifest import MANIFEST, Window
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.duckdb import load
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.destinations.results import LoadResult
from adventure.reconcile.removal import remove_loaded
from tests.warehouse.conftest import STREAM, Stager, things

Meanwhile = Callable[[Callable[[Window], object]], None]


def ids(warehouse: DuckDBWarehouse, stream: Stream = STREAM) -> list[int]:
    return [row[0] for row in warehouse.execute(f"select id from {stream.raw_table} order by id")]


@pytest.fixture
def during_the_load(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Runs something when a load has listed the stage and is about to load its first window, which is handed over."""

    def arrange(job: Callable[[Window], object]) -> None:
        def load_meanwhile(
            connection: Any, stream: Stream, stage: FolderStage, windows: Sequence[Window]
        ) -> list[LoadResult]:
            monkeypatch.setattr(load, "load_batch", load_batch)
            job(windows[0])
            return load_batch(connection, stream, stage, windows)

        load_batch = load.load_batch
        monkeypatch.setattr(load, "load_batch", load_meanwhile)

    return arrange


@pytest.fixture
def during_the_cleanup(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Runs something when a cleanup has decided what to remove and is about to remove the first window."""

    def arrange(job: Callable[[Window], object]) -> None:
        def remove_meanwhile(stage: FolderStage, window: Window) -> int:
            monkeypatch.setattr(FolderStage, "remove", remove)
            job(window)
            return remove(stage, window)

        remove = FolderStage.remove
        monkeypatch.setattr(FolderStage, "remove", remove_meanwhile)

    return arrange


def test_a_window_staged_during_a_load_is_loaded_by_the_next(
    warehouse: DuckDBWarehouse, stage: FolderStage, put: Stager, during_the_load: Meanwhile
) -> None:
    put(things(1))
    during_the_load(lambda _: put(things(2)))
    assert warehouse.load(STREAM) == LoadResult(1, 1)
    assert warehouse.cleanup(STREAM) == LoadResult(1, 2)
    assert warehouse.load(STREAM) == LoadResult(1, 1)
    assert ids(warehouse) == [1, 2]
    warehouse.cleanup(STREAM)
    assert stage.entries(STREAM.stage) == []


def test_a_window_staged_between_load_and_cleanup_is_loaded_by_the_next(
    warehouse: DuckDBWarehouse, stage: FolderStage, put: Stager
) -> None:
    put(things(1))
    warehouse.load(STREAM)
    late = put(things(2))
    assert warehouse.cleanup(STREAM) == LoadResult(1, 2)
    assert stage.windows(STREAM.stage) == [late]
    assert warehouse.load(STREAM) == LoadResult(1, 1)
    assert ids(warehouse) == [1, 2]


def test_a_window_committed_during_a_cleanup_is_loaded_by_the_next(
    warehouse: DuckDBWarehouse, stage: FolderStage, put: Stager, during_the_cleanup: Meanwhile
) -> None:
    put(things(1))
    begun = put(things(2), commit=False)
    warehouse.load(STREAM)
    during_the_cleanup(lambda _: stage.commit(begun))
    assert warehouse.cleanup(STREAM) == LoadResult(1, 2)
    assert stage.windows(STREAM.stage) == [begun]
    assert warehouse.load(STREAM) == LoadResult(1, 1)
    assert ids(warehouse) == [1, 2]


def test_two_cleanups_at_once_remove_each_window_once(
    warehouse: DuckDBWarehouse, stage: FolderStage, put: Stager, during_the_cleanup: Meanwhile
) -> None:
    for number in range(3):
        put(things(number))
    warehouse.load(STREAM)
    left = put(things(9))
    other: list[LoadResult] = []
    during_the_cleanup(lambda _: other.append(warehouse.cleanup(STREAM)))
    assert (warehouse.cleanup(STREAM), other) == (LoadResult(0, 0), [LoadResult(3, 6)])
    assert stage.windows(STREAM.stage) == [left]


def test_task_runners_and_a_processor_at_once_lose_and_double_nothing(
    settings: Settings, warehouse: DuckDBWarehouse, stage: FolderStage, put: Stager
) -> None:
    done = threading.Event()
    failures: list[BaseException] = []

    def run_tasks() -> None:
        mine = DuckDBWarehouse(settings)
        try:
            while not done.is_set():
                mine.load(STREAM)
                mine.cleanup(STREAM)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failures.append(error)

    def look() -> None:
        try:
            while not done.is_set():
                stage.entries(STREAM.stage)
                stage.discard_unfinished("another_stage")
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failures.append(error)

    threads = [threading.Thread(target=job) for job in (run_tasks, run_tasks, look)]
    for thread in threads:
        thread.start()
    for number in range(40):
        put(things(number))
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    warehouse.load(STREAM)
    warehouse.cleanup(STREAM)
    assert ids(warehouse) == list(range(40))
    assert stage.entries(STREAM.stage) == []


@pytest.mark.parametrize("neighbour", ["things_stage_stage", "things_stage_2", "things_stag"])
def test_a_stream_whose_stages_name_begins_alike_is_left_alone(
    warehouse: DuckDBWarehouse, stage: FolderStage, put: Stager, neighbour: str
) -> None:
    other = replace(STREAM, name="other", stage=neighbour, raw_table="raw_ext.other_raw")
    put(things(1))
    loaded, waiting = put(things(2), stream=other), put(things(3), stream=other, commit=False)
    warehouse.load(STREAM)
    warehouse.cleanup(STREAM)
    stage.discard_unfinished(STREAM.stage)
    assert stage.entries(STREAM.stage) == []
    assert {entry.path.split("/")[1] for entry in stage.entries(neighbour)} == {loaded.id, waiting.id}
    assert warehouse.load(other) == LoadResult(1, 1)
    assert (ids(warehouse), ids(warehouse, other)) == ([1], [2])


def test_a_damaged_window_stops_none_of_those_behind_it(
    warehouse: DuckDBWarehouse, stage: FolderStage, put: Stager
) -> None:
    damaged, missing, manifest, good = (put(things(number)) for number in range(4))
    path = stage.path(damaged, "part-00000.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    stage.path(missing, "part-00000.parquet").unlink()
    stage.path(manifest, MANIFEST).write_bytes(b"{")
    with pytest.raises(StageDamaged):
        warehouse.load(STREAM)
    assert ids(warehouse) == [3]
    assert warehouse.cleanup(STREAM) == LoadResult(1, 2)
    assert good.id not in {window.id for window in stage.windows(STREAM.stage)}

    path.write_bytes(whole)
    with pytest.raises(StageDamaged):
        warehouse.load(STREAM)
    assert ids(warehouse) == [0, 3], "fixed, it is loaded"


def test_each_damaged_window_is_named(
    warehouse: DuckDBWarehouse, stage: FolderStage, put: Stager, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = put(things(1)), put(things(2))
    for window in (first, second):
        stage.path(window, "part-00000.parquet").unlink()
    with pytest.raises(StageDamaged) as raised:
        warehouse.load(STREAM)
    told = f"{raised.value}{capsys.readouterr().out}"
    assert all(window.id in told for window in (first, second))


def test_windows_removed_by_force_during_a_load_are_no_error(
    settings: Settings,
    warehouse: DuckDBWarehouse,
    stage: FolderStage,
    put: Stager,
    during_the_load: Meanwhile,
) -> None:
    put(things(1))
    removed = put(things(2))
    put(things(3))
    during_the_load(lambda _: stage.remove(removed))
    assert warehouse.load(STREAM) == LoadResult(2, 2)
    assert ids(warehouse) == [1, 3]


def test_removing_while_a_load_runs_waits_for_it_and_takes_only_what_is_loaded(
    settings: Settings,
    warehouse: DuckDBWarehouse,
    stage: FolderStage,
    put: Stager,
    during_the_load: Meanwhile,
) -> None:
    put(things(1))
    removers: list[threading.Thread] = []
    failures: list[BaseException] = []

    def remove() -> None:
        try:
            remove_loaded(settings, STREAM)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failures.append(error)

    def begin_to_remove(_: Window) -> None:
        removers.append(threading.Thread(target=remove))
        removers[0].start()
        put(things(2))

    during_the_load(begin_to_remove)
    assert warehouse.load(STREAM) == LoadResult(1, 1)
    removers[0].join()
    warehouse.load(STREAM)
    assert ids(warehouse) == [1, 2]


def test_a_file_that_vanished_during_a_cleanup_is_no_error(
    warehouse: DuckDBWarehouse, stage: FolderStage, put: Stager, during_the_cleanup: Meanwhile
) -> None:
    put(things(1))
    warehouse.load(STREAM)
    during_the_cleanup(lambda window: stage.path(window, "part-00000.parquet").unlink())
    assert warehouse.cleanup(STREAM) == LoadResult(1, 1)
    assert stage.entries(STREAM.stage) == []


def test_a_foreign_file_in_a_windows_folder_stays_through_cleanup_and_restart(
    warehouse: DuckDBWarehouse, stage: FolderStage, put: Stager
) -> None:
    window = put(things(1))
    warehouse.load(STREAM)
    foreign = stage.path(window, "notes.txt")
    foreign.write_text("ours")
    assert warehouse.cleanup(STREAM) == LoadResult(1, 2)
    assert stage.discard_unfinished(STREAM.stage) == 0
    assert [entry.path.split("/")[-1] for entry in stage.entries(STREAM.stage)] == ["notes.txt"]
    assert foreign.read_text() == "ours"
