"""The contract of every stage implementation."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from adventure.core.clock import utc_now
from adventure.core.manifest import Window
from adventure.core.stage import Stage

PutWindow = Callable[..., Window]


def _paths(stage: Stage, name: str = "orders_stage") -> list[str]:
    return [entry.path for entry in stage.entries(name)]


def test_a_stage_that_was_never_used_is_empty(stage: Stage) -> None:
    assert stage.windows("orders_stage") == []
    assert stage.window_ids("orders_stage") == set()
    assert stage.entries("orders_stage") == []
    assert stage.damaged("orders_stage") == []
    assert stage.discard_unfinished("orders_stage") == 0


def test_a_committed_window_is_read_back_unchanged(stage: Stage, put_window: PutWindow) -> None:
    window = put_window()
    assert stage.windows("orders_stage") == [window]


def test_a_window_without_its_manifest_does_not_exist(stage: Stage, put_window: PutWindow) -> None:
    put_window(commit=False)
    assert stage.windows("orders_stage") == []


def test_windows_are_sorted_oldest_first(stage: Stage, put_window: PutWindow) -> None:
    staged = [put_window(day=day) for day in (3, 1, 2)]
    assert stage.windows("orders_stage") == sorted(staged, key=lambda window: window.high)


def test_only_finished_windows_have_an_id(stage: Stage, put_window: PutWindow) -> None:
    finished = put_window(day=1)
    put_window(day=2, commit=False)
    assert stage.window_ids("orders_stage") == {finished.id}


def test_entries_show_every_file_with_its_size_and_time(stage: Stage, put_window: PutWindow) -> None:
    window = put_window(files={"part-00001.parquet": b"12345", "part-00000.parquet": b"123"})
    entries = stage.entries("orders_stage")
    assert [(entry.path, entry.bytes) for entry in entries] == [
        (f"orders_stage/{window.id}/part-00000.parquet", 3),
        (f"orders_stage/{window.id}/part-00001.parquet", 5),
        (f"orders_stage/{window.id}/window.json", len(window.to_json())),
    ]
    assert all(abs(utc_now() - entry.modified) < timedelta(hours=1) for entry in entries)


def test_entries_have_the_md5_of_each_file_where_it_is_asked_for(stage: Stage, put_window: PutWindow) -> None:
    put_window(files={"part-00000.parquet": b"123"})
    entries = {entry.path.rpartition("/")[2]: entry.md5 for entry in stage.entries("orders_stage", md5=True)}
    assert entries["part-00000.parquet"] == "202cb962ac59075b964b07152d234b70"
    assert len(entries["window.json"]) == 32


def test_a_window_without_rows_is_listed(stage: Stage, put_window: PutWindow) -> None:
    window = put_window(files={})
    assert stage.windows("orders_stage") == [window]
    assert stage.remove(window) == 1


def test_putting_a_file_again_replaces_it(
    stage: Stage, put_window: PutWindow, local_file: Callable[[str, bytes], Path]
) -> None:
    window = put_window(files={"part-00000.parquet": b"first"})
    stage.put("orders_stage", window.id, local_file("part-00000.parquet", b"second try"))
    assert next(entry.bytes for entry in stage.entries("orders_stage")) == len(b"second try")


def test_putting_the_same_file_twice_keeps_one(
    stage: Stage, put_window: PutWindow, local_file: Callable[[str, bytes], Path]
) -> None:
    window = put_window(commit=False, files={})
    file = local_file("part-00000.parquet", b"rows")
    for _ in range(2):
        stage.put("orders_stage", window.id, file)
    assert _paths(stage) == [f"orders_stage/{window.id}/part-00000.parquet"]


def test_a_staged_file_outlives_the_local_one(
    stage: Stage, put_window: PutWindow, local_file: Callable[[str, bytes], Path]
) -> None:
    window = put_window()
    local_file("part-00000.parquet", b"").unlink()
    assert f"orders_stage/{window.id}/part-00000.parquet" in _paths(stage)


def test_discarding_removes_only_unfinished_windows(stage: Stage, put_window: PutWindow) -> None:
    finished = put_window(day=1)
    put_window(day=2, commit=False)
    put_window(day=3, commit=False)
    before = _paths(stage)
    assert stage.discard_unfinished("orders_stage") == 2
    assert _paths(stage) == [path for path in before if finished.id in path]


def test_removing_a_window_removes_its_files_and_its_manifest(stage: Stage, put_window: PutWindow) -> None:
    window, other = put_window(day=1), put_window(day=2)
    assert stage.remove(window) == 2
    assert stage.windows("orders_stage") == [other]
    assert all(other.id in path for path in _paths(stage))


def test_removing_a_window_keeps_unlisted_files(
    stage: Stage, put_window: PutWindow, local_file: Callable[[str, bytes], Path]
) -> None:
    window = put_window()
    stage.put("orders_stage", window.id, local_file("arrived-meanwhile.parquet", b"new"))
    stage.remove(window)
    assert _paths(stage) == [f"orders_stage/{window.id}/arrived-meanwhile.parquet"]


def test_removing_a_window_twice_succeeds(stage: Stage, put_window: PutWindow) -> None:
    window = put_window()
    stage.remove(window)
    assert stage.remove(window) == 0


@pytest.mark.parametrize("neighbour", ["orders_stage_2", "orders_stag", "orders_stage2"])
def test_a_stage_with_the_same_prefix_is_not_affected(stage: Stage, put_window: PutWindow, neighbour: str) -> None:
    window = put_window("orders_stage")
    put_window("orders_stage", day=2, commit=False)
    kept, unfinished = put_window(neighbour), put_window(neighbour, day=2, commit=False)
    stage.remove(window)
    stage.discard_unfinished("orders_stage")
    assert _paths(stage) == []
    assert stage.windows(neighbour) == [kept]
    assert any(unfinished.id in path for path in _paths(stage, neighbour))


def test_a_stage_that_can_be_written_is_left_empty(stage: Stage) -> None:
    stage.check_writable("orders_stage")
    assert stage.entries("orders_stage") == []
