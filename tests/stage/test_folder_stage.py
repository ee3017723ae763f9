"""Test what is specific to a folder stage: disk errors, files changed by people, kills at any time."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from adventure.core.errors import StageDamaged, StageUnwritable
from adventure.core.manifest import MANIFEST, Window
from adventure.core.stage import Stage
from adventure.destinations.duckdb.stage import FolderStage

PutWindow = Callable[..., Window]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "stages"


@pytest.fixture
def stage(root: Path) -> Stage:
    return FolderStage(root)


def _every_file(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "Free space"),
        (errno.EROFS, "Mount it writable"),
        (errno.EACCES, "Grant this user write permission"),
        (errno.EIO, "Check that folder"),
    ],
)
@pytest.mark.parametrize("call", ["put", "commit", "check_writable"])
def test_a_disk_error_leaves_no_file_and_is_reported(
    stage: Stage,
    root: Path,
    put_window: PutWindow,
    local_file: Callable[[str, bytes], Path],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    remedy: str,
    call: str,
) -> None:
    window = put_window(commit=False)
    before = _every_file(root)
    file = local_file("part-00001.parquet", b"more rows")

    def refuse(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StageUnwritable) as caught:
        {
            "put": lambda: stage.put("orders_stage", window.id, file),
            "commit": lambda: stage.commit(window),
            "check_writable": lambda: stage.check_writable("orders_stage"),
        }[call]()
    assert str(root / "orders_stage") in str(caught.value)
    assert remedy in str(caught.value)
    assert _every_file(root) == before


def test_a_folder_that_cannot_be_listed_is_an_error_of_the_stage(
    stage: Stage, put_window: PutWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processor tries again after such an error; another one would end it."""
    put_window()

    def refuse(_folder: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(StageDamaged, match="orders_stage cannot be listed: Input/output error"):
        stage.entries("orders_stage")


def test_a_file_where_the_stage_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "stages").write_text("not a folder")
    with pytest.raises(StageUnwritable, match="stages/orders_stage"):
        FolderStage(tmp_path / "stages").check_writable("orders_stage")


def test_a_file_on_another_file_system_is_copied(
    stage: Stage,
    root: Path,
    put_window: PutWindow,
    local_file: Callable[[str, bytes], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    window = put_window(files={"part-00000.parquet": b"rows from afar"})
    assert (root / "orders_stage" / window.id / "part-00000.parquet").read_bytes() == b"rows from afar"
    assert stage.windows("orders_stage") == [window]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not a window's manifest"),
        (b'{"stream": "orders"', "is not a window's manifest"),
        (b"[]", "is not a window's manifest"),
        (b'{"stream": "orders"}', "is not a window's manifest"),
        (b"OTHER", "belongs to the window"),
        (b"OUTSIDE", "is no file of its window"),
    ],
)
def test_a_damaged_manifest_is_named_and_blocks_no_other_window(
    stage: Stage, root: Path, put_window: PutWindow, content: bytes, sentence: str
) -> None:
    damaged, good = put_window(day=1), put_window(day=2)
    replacement = {
        b"OTHER": good.to_json(),
        b"OUTSIDE": damaged.to_json().replace(b"part-00000.parquet", b"../../../warehouse.duckdb"),
    }.get(content, content)
    path = root / "orders_stage" / damaged.id / MANIFEST
    path.write_bytes(replacement)
    assert stage.windows("orders_stage") == [good]
    (error,) = stage.damaged("orders_stage")
    assert str(path) in str(error)
    assert sentence in str(error)
    assert stage.discard_unfinished("orders_stage") == 0


def test_half_written_files_are_never_visible_and_are_removed(stage: Stage, root: Path, put_window: PutWindow) -> None:
    window = put_window()
    half = root / ".tmp" / "orders_stage" / "20260101T000000000000Z-run9.part-00000.parquet"
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_bytes(b"hal")
    assert stage.windows("orders_stage") == [window]
    assert len(stage.entries("orders_stage")) == 2
    stage.discard_unfinished("orders_stage")
    assert half not in _every_file(root)


def test_the_next_removal_finishes_a_killed_one(stage: Stage, root: Path, put_window: PutWindow) -> None:
    window = put_window(files={f"part-{number:05}.parquet": b"rows" for number in range(3)})
    (root / "orders_stage" / window.id / "part-00000.parquet").unlink()
    assert stage.windows("orders_stage") == [window]
    assert stage.remove(window) == 3
    assert _every_file(root) == []
