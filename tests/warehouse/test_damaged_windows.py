"""A damaged window waits, with a sentence that names it; every other window and stream is loaded."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import orjson
import pyarrow as pa
import pytest

from adventure.core.errors import StageDamaged
from adventure.core.manifest import MANIFEST, StagedFile, Window
from adventure.core.settings import Settings
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.destinations.results import LoadResult
from adventure.tasks import graph
from adventure.tasks.graph import run_task
from tests.warehouse.conftest import STREAM, Stager, things

OTHER = replace(STREAM, name="others", stage="others_stage", raw_table="raw_ext.others_raw")
PART = "part-00000.parquet"

Damage = Callable[[FolderStage, Window], None]


def manifest(change: Callable[[Window], Window]) -> Damage:
    """Rewrite window.json; the window's folder stays."""

    def damage(stage: FolderStage, window: Window) -> None:
        stage.path(window, MANIFEST).write_bytes(change(window).to_json())

    return damage


def content(data: bytes) -> Damage:
    """Another file than was staged, for which window.json has the right checksum."""

    def damage(stage: FolderStage, window: Window) -> None:
        stage.path(window, PART).write_bytes(data)
        promised = StagedFile(PART, 1, len(data), hashlib.sha256(data).hexdigest())
        stage.path(window, MANIFEST).write_bytes(replace(window, files=(promised,)).to_json())

    return damage


def folder_instead(name: str) -> Damage:
    def damage(stage: FolderStage, window: Window) -> None:
        stage.path(window, name).unlink()
        stage.path(window, name).mkdir()

    return damage


DAMAGES = {
    "the same file twice": (manifest(lambda w: replace(w, files=w.files * 2)), "it lists a file twice"),
    "an unknown type": (
        manifest(lambda w: replace(w, columns=(replace(w.columns[0], type="uint8"),))),
        "has the type 'uint8'",
    ),
    "another type": (
        manifest(lambda w: replace(w, columns=(replace(w.columns[0], type="int16"),))),
        "its columns are not those of window.json",
    ),
    "another name": (
        manifest(lambda w: replace(w, columns=(replace(w.columns[0], name="changed_at"),))),
        "its columns are not those of window.json",
    ),
    "no list of files": (
        lambda stage, w: stage.path(w, MANIFEST).write_bytes(orjson.dumps(orjson.loads(w.to_json()) | {"files": 7})),
        "files must be a list",
    ),
    "no Parquet": (content(b"not Parquet" * 10), "No magic bytes found"),
    "a folder instead of a file": (folder_instead(PART), "cannot be read: Is a directory"),
    "a folder instead of window.json": (folder_instead(MANIFEST), "cannot be read: Is a directory"),
}


@pytest.fixture(autouse=True)
def _no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "_build", lambda *_: (LoadResult(), "nothing"))
    monkeypatch.setattr(graph, "_publish", lambda *_: (LoadResult(), ""))


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_window_waits_alone(
    settings: Settings, stage: FolderStage, put: Stager, damage: Damage, sentence: str
) -> None:
    bad = put(things(1))
    put(things(2))
    put(things(3), stream=OTHER)
    damage(stage, bad)
    without_source = settings.model_copy(update={"reconcile_interval_sec": 0})
    runs = {run.name: run for run in run_task(without_source, (STREAM, OTHER))}
    warehouse = DuckDBWarehouse(settings)
    assert warehouse.execute("select id from raw_ext.things_raw") == [(2,)]
    assert warehouse.execute("select id from raw_ext.others_raw") == [(3,)]
    assert {run.name for run in runs.values() if run.outcome == "failed"} == {"load_things"}
    assert sentence in runs["load_things"].message
    assert f"`adventure stage remove things {bad.id}`" in runs["load_things"].message
    assert [path.name for path in (settings.stage_dir / "things_stage").iterdir()] == [bad.id]


def test_a_stage_that_cannot_be_listed_is_named(settings: Settings, stage: FolderStage, put: Stager) -> None:
    put(things(1))
    shutil.rmtree(stage.root / STREAM.stage)
    (stage.root / STREAM.stage).write_text("not a folder")
    put(things(3), stream=OTHER)
    with pytest.raises(StageDamaged, match="things_stage cannot be listed: Not a directory"):
        DuckDBWarehouse(settings).load(STREAM)
    assert DuckDBWarehouse(settings).load(OTHER).rows == 1


@pytest.mark.parametrize("name", [PART, "more.txt"])
def test_a_window_is_removed_whatever_its_manifest_says(stage: FolderStage, put: Stager, name: str) -> None:
    window, other = put(things(1)), put(things(2))
    stage.path(window, MANIFEST).write_text("{")
    stage.path(window, name).write_text("x")
    assert stage.discard(STREAM.stage, window.id) == 2
    assert stage.windows(STREAM.stage) == [other]
    left: list[Path] = list((stage.root / STREAM.stage / window.id).glob("*"))
    assert [path.name for path in left] == ([] if name == PART else [name])


def test_a_decimal_is_not_rounded_by_a_manifest(settings: Settings, stage: FolderStage, put: Stager) -> None:
    window = put(things(1, value=pa.array([Decimal("1.25")], pa.decimal128(5, 2))))
    columns = (window.columns[0], replace(window.columns[1], type="decimal128(5, 1)"))
    stage.path(window, MANIFEST).write_bytes(replace(window, columns=columns).to_json())
    with pytest.raises(StageDamaged, match="its columns are not those of window"):
        DuckDBWarehouse(settings).load(STREAM)
