import hashlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from adventure.stage import Stage
from adventure.stage.folder import FolderStage
from adventure.stage.manifest import Column, StagedFile, Window


@pytest.fixture(params=["folder"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    """Each implementation in turn: the contract's tests run against all."""
    return {"folder": lambda: FolderStage(tmp_path / "stages")}[request.param]()


@pytest.fixture
def local_file(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """A finished file outside of the stage, as the processor has it before it stages it."""

    def write(name: str, content: bytes) -> Path:
        path = tmp_path / "work" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def put_window(stage: Stage, local_file: Callable[[str, bytes], Path]) -> Callable[..., Window]:
    """Stages one window with the given files; without `commit`, as a processor that was killed leaves it."""

    def put(
        stage_name: str = "orders_stage", day: int = 1, files: dict[str, bytes] | None = None, *, commit: bool = True
    ) -> Window:
        contents = {"part-00000.parquet": b"rows"} if files is None else files
        window = Window(
            stream="orders",
            stage=stage_name,
            low=None,
            high=datetime(2026, 1, day, 12, 30, 15, 123456),
            run_id=f"run{day}",
            files=tuple(
                StagedFile(name, 1, len(content), hashlib.sha256(content).hexdigest())
                for name, content in contents.items()
            ),
            rejects=None,
            columns=(Column("sales_order_id", "string"),),
            staged_at=datetime(2026, 1, day, 12, 31),
            horizon=datetime(2026, 1, day, 12, 31),
            mode="horizon",
        )
        for name, content in contents.items():
            stage.put(stage_name, window.id, local_file(name, content))
        if commit:
            stage.commit(window)
        return window

    return put
