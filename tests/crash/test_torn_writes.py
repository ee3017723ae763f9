"""Test interrupted writes: a full disk, and a write-ahead log of DuckDB truncated at any byte."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adventure.core.environment import load_settings
from adventure.core.settings import Settings
from adventure.demo.generator.run import backfill
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from tests.crash.conftest import ROOT, World
from tests.warehouse.conftest import STREAM, Stager, put, stage, things  # noqa: F401 - fixtures among them

pytestmark = pytest.mark.slow

_LOAD = """
import sys
from pathlib import Path
from adventure.core.environment import load_settings
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from tests.warehouse.conftest import STREAM
DuckDBWarehouse(load_settings(data_dir=Path(sys.argv[1]))).load(STREAM)
"""


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("process",), "File too large"),
        (("tasks", "run", "load_order_details"), "File too large"),
        (("tasks", "run", "build"), "could not"),
    ],
    ids=["process", "load", "build"],
)
def test_a_full_disk_stops_a_command_and_damages_nothing(world: World, command: tuple[str, ...], sentence: str) -> None:
    world.converge()
    backfill(world.writer, orders=1500, days=20)
    if command != ("process",):
        world.process()
    run = world.run(*command, limit="-f 64")
    assert run.returncode == 1, run.stdout + run.stderr
    assert sentence in run.stdout + run.stderr
    world.converge()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path / "adventure")


def test_a_truncated_log_contains_a_whole_load_or_none_of_it(
    settings: Settings,
    put: Stager,  # noqa: F811
    tmp_path: Path,
) -> None:
    DuckDBWarehouse(settings)
    put(things(*range(500)))
    killed = subprocess.run(
        [sys.executable, "-c", _LOAD, str(settings.data_dir)],
        cwd=ROOT,
        env=os.environ | {"ADVENTURE_CRASH_AT": "committed"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    size = settings.duckdb_path.with_suffix(".duckdb.wal").stat().st_size
    kept: set[int] = set()
    for cut in sorted({0, 1, size - 1, size, *range(0, size, size // 16)}):
        copy = load_settings(data_dir=tmp_path / f"cut-{cut}")
        shutil.copytree(settings.data_dir, copy.data_dir)
        os.truncate(copy.duckdb_path.with_suffix(".duckdb.wal"), cut)
        warehouse = DuckDBWarehouse(copy)
        ((ledger,),) = warehouse.execute("select count(*) from raw_ext.load_history")
        kept.add(ledger)
        warehouse.load(STREAM)
        assert warehouse.execute("select id from raw_ext.things_raw order by id") == [(n,) for n in range(500)], cut
        warehouse.cleanup(STREAM)
        assert FolderStage(copy.stage_dir).entries(STREAM.stage) == []
    assert kept == {0, 1}, "some truncations removed the load, and it was loaded again"
