"""Kill the real processor with kill -9 while it follows PostgreSQL's log; the next run loses and doubles nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import LiteralString

import pytest

from adventure.core.faults import Point
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.processor.run import process_once
from tests.crash.points import PROCESSOR
from tests.processor.conftest import log_settings  # noqa: F401 - the fixture
from tests.processor.test_log import change, check_films, films  # noqa: F401 - the fixture
from tests.snowflake.account import environment

pytestmark = pytest.mark.slow

PIPELINE = """
[streams.films]
source = "postgres"
namespace = "public"
table = "films"
mode = "log"
key = ["id", "lang"]
stage = "films_stage"
raw_table = "raw_ext.films_raw"
"""
BEFORE: dict[str, LiteralString] = {
    "keys": "insert into films values (21, 'en', 'New', 1); update films set title = 'x' where id < 3;"
    " delete from films where id > 18; update films set id = 100 where id = 3",
    "truncated": "truncate films; insert into films values (4, 'en', 'Again', 1)",
}
AFTER: LiteralString = (
    "update films set title = 'y' where id = 4; insert into films values (22, 'en', 'Late', 1);"
    " delete from films where id in (21, 100)"
)


@pytest.mark.parametrize(
    ("point", "time", "before"),
    [*((*each, "keys") for each in PROCESSOR), (Point.WINDOW_STAGED, 1, "truncated")],
    ids=lambda value: getattr(value, "label", value),
)
def test_a_killed_processor(
    log_settings: Settings,  # noqa: F811 - the fixture
    writer_settings: Settings,
    films: Stream,  # noqa: F811 - the fixture
    tmp_path: Path,
    point: Point,
    time: int,
    before: str,
) -> None:
    pipeline = tmp_path / "films.toml"
    pipeline.write_text(PIPELINE, encoding="utf-8")
    process_once(log_settings, [films])
    change(writer_settings, BEFORE[before])
    at = f"{point.label}:{films.stage if point.of == 'stage' else films.name}:{time}"
    settings = log_settings.model_copy(update={"pipeline_file": pipeline})
    killed = subprocess.run(
        [sys.executable, "-m", "adventure", "process"],
        env={**os.environ, **environment(settings), "ADVENTURE_CRASH_AT": at},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    change(writer_settings, AFTER)
    process_once(log_settings, [films])
    check_films(log_settings, writer_settings, films)
    assert process_once(log_settings, [films]).streams[0].window is None, "nothing is staged again"
