import hashlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from adventure.core.manifest import Column, StagedFile, Window
from adventure.core.stage import Stage
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.snowflake.session import connect_snowflake
from adventure.destinations.snowflake.stage import SnowflakeStage

STAGES = ("orders_stage", "orders_stage_2", "orders_stag", "orders_stage2")
"""Snowflake needs the stage to be created before it is used; a folder does not."""


@pytest.fixture(params=["folder", "snowflake"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    """Each stage implementation in turn, so that the contract's tests run against all."""
    if request.param == "folder":
        return FolderStage(tmp_path / "stages")
    settings = request.getfixturevalue("snowflake_settings")
    with connect_snowflake(settings) as connection:
        for name in STAGES:
            connection.cursor().execute(f"create stage raw_ext.{name}")
    return SnowflakeStage(settings)


@pytest.fixture
def local_file(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Write a finished file outside of the stage, as the processor has it before staging."""

    def write(name: str, content: bytes) -> Path:
        path = tmp_path / "work" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def put_window(stage: Stage, local_file: Callable[[str, bytes], Path]) -> Callable[..., Window]:
    """Stage a window with the given files; without `commit`, leave it as a killed processor would."""

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
