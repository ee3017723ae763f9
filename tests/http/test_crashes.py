"""Kill the real commands with kill -9 at every crash point while they move an API's records; the next run recovers."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from adventure.core.clock import utc_now
from adventure.core.faults import Point
from adventure.core.pipeline_file import load_streams
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.sandbox.databases import Databases
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.processor.run import process_once
from tests.comparison import leftover_files
from tests.crash.points import CLEANUP, LOAD, PROCESSOR
from tests.http.api import Api
from tests.http.conftest import loaded

pytestmark = pytest.mark.slow

PIPELINE = """
[streams.reviews]
source = "http"
namespace = "shop"
table = "reviews"
cursor = "meta.changed"
key = "id"
stage = "reviews_stage"
raw_table = "raw_ext.reviews_raw"
lookback = 300

[streams.reviews.api]
records = "data.items"
since = "since"
pages = "next"
next = "paging.next"
size = "limit"
"""

TASKS = [*(("load", point, 1) for point in LOAD), *(("cleanup", *each) for each in CLEANUP)]


@pytest.fixture
def world(whole_settings: Settings, tmp_path: Path) -> Settings:
    (tmp_path / "pipeline.toml").write_text(PIPELINE)
    return whole_settings.model_copy(update={"pipeline_file": tmp_path / "pipeline.toml"})


def crash(settings: Settings, databases: Databases, *command: str, at: str) -> None:
    """Run a command that must die at that point and nowhere else."""
    own = {"DATA_DIR": str(settings.data_dir), "PIPELINE_FILE": str(settings.pipeline_file)}
    own |= {"API_URL": settings.api_url, "API_TOKEN": "the-secret-token", "ADVENTURE_CRASH_AT": at}
    ended = subprocess.run(
        [sys.executable, "-m", "adventure", *command],
        env=os.environ | databases.reader_env | own,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == -signal.SIGKILL, f"{at} was not reached: {ended.stdout}{ended.stderr}"


def write(api: Api, number: int) -> None:
    """Write new records, a changed one, and one that appears late."""
    now = utc_now() - timedelta(minutes=2)
    api.put_many(7, now, first=10 * number)
    api.put(f"r{10 * number:03d}", now + timedelta(seconds=8), stars=number)
    api.put(f"late {number}", now - timedelta(minutes=1))


def converge(settings: Settings, streams: tuple[Stream, ...], api: Api) -> None:
    """Run processor, load and cleanup. Then API and raw table are equal, and each file was loaded once."""
    process_once(settings, streams)
    warehouse = DuckDBWarehouse(settings)
    warehouse.load(streams[0])
    warehouse.cleanup(streams[0])
    assert loaded(settings, streams[0]) == api.records
    promised = warehouse.execute("select sum(rows) from raw_ext.load_history where kind = 'data'")
    kept = "select count(*), count(distinct (_file, _file_row)) from raw_ext.reviews_raw"
    assert warehouse.execute(kept) == [(*promised[0], *promised[0])]
    assert leftover_files(settings, streams) == []


@pytest.mark.parametrize(("point", "hit"), PROCESSOR, ids=lambda value: getattr(value, "label", value))
def test_a_killed_processor(api: Api, world: Settings, databases: Databases, point: Point, hit: int) -> None:
    streams = load_streams(world)
    write(api, 1)
    converge(world, streams, api)
    write(api, 2)
    of = "reviews_stage" if point.of == "stage" else "reviews"
    crash(world, databases, "process", at=f"{point.label}:{of}:{hit}")
    write(api, 3)
    converge(world, streams, api)


@pytest.mark.parametrize(("task", "point", "hit"), TASKS, ids=lambda value: getattr(value, "label", value))
def test_a_killed_task(api: Api, world: Settings, databases: Databases, task: str, point: Point, hit: int) -> None:
    streams = load_streams(world)
    write(api, 1)
    process_once(world, streams)
    if task == "cleanup":
        DuckDBWarehouse(world).load(streams[0])
    crash(world, databases, "tasks", "run", f"{task}_reviews", at=f"{point.label}:reviews:{hit}")
    write(api, 2)
    converge(world, streams, api)
