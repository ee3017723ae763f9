"""Kill the real processor with kill -9 within a first load in windows; the next run goes on, and nothing is lost.

The windows have at most ten rows instead of a million: a line of the killed program sets it.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adventure.core.faults import Point
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.factory import open_stage
from adventure.processor.state import read_watermarks
from adventure.sources.postgres.windows import FIRST_LOAD
from tests.processor.conftest import stream_of, writer
from tests.processor.test_first_load import check, fill
from tests.snowflake.account import environment

pytestmark = pytest.mark.slow

ROWS, ROWS_A_WINDOW = 240, 10
PROGRAM = (
    f"from adventure.sources.postgres import snapshot; snapshot.ROWS_A_WINDOW = {ROWS_A_WINDOW};"
    " from adventure.cli import main; main()"
)
PIPELINE = """
[streams.things]
source = "postgres"
namespace = "public"
table = "things"
cursor = "changed_at"
timezone = "UTC"
key = "id"
stage = "things_stage"
raw_table = "raw_ext.things_raw"
"""


@pytest.fixture
def things(settings: Settings, writer_settings: Settings, tmp_path: Path) -> tuple[Settings, Stream]:
    """A table of old rows, and the settings of a pipeline that reads it."""
    fill(writer_settings, ROWS, at_once=4)
    pipeline = tmp_path / "things.toml"
    pipeline.write_text(PIPELINE, encoding="utf-8")
    return settings.model_copy(update={"pipeline_file": pipeline}), stream_of("things", timezone="UTC")


def start(settings: Settings, crash_at: str = "") -> "subprocess.Popen[str]":
    """Start `adventure process`, one cycle of it."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "process"],
        env={**os.environ, **environment(settings), "ADVENTURE_CRASH_AT": crash_at},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def windows(settings: Settings) -> dict[str, bytes]:
    """Return the staged windows by name, with their content."""
    return {window.id: window.to_json() for window in open_stage(settings).windows("things_stage")}


def run_to_the_end(settings: Settings) -> None:
    with start(settings) as process:
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out


def finish(settings: Settings, stream: Stream, before: dict[str, bytes]) -> None:
    """Let the load go on, and compare each row; what was staged before the kill is still the same."""
    run_to_the_end(settings)
    after = windows(settings)
    assert before.items() <= after.items(), "what was staged is not read again"
    assert FIRST_LOAD not in read_watermarks(settings)["things"].mode
    check(settings, stream)


def change(settings: Settings, number: int) -> None:
    """Change, delete and insert rows of the windows that were staged and of those that were not."""
    with writer(settings) as connection:
        connection.execute(
            "update things set note = 'new', changed_at = now() at time zone 'utc' where id %% 97 = %s",
            [number],
        )
        connection.execute("insert into things (id, note) values (%s, 'late')", [1000 + number])


@pytest.mark.parametrize(
    "point",
    [Point.EXTRACTING, Point.WINDOW_STAGED],
    ids=lambda point: point.label,
)
def test_a_load_that_is_killed_at_a_point_goes_on(
    things: tuple[Settings, Stream], writer_settings: Settings, point: Point
) -> None:
    settings, stream = things
    with start(settings, f"{point.label}:things:7") as process:
        out, _ = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, out
    mark, staged = read_watermarks(settings)["things"], windows(settings)
    assert FIRST_LOAD in mark.mode
    assert len(staged) == (7 if point is Point.WINDOW_STAGED else 6)
    change(writer_settings, 1)
    finish(settings, stream, staged)


def test_a_load_that_is_killed_again_and_again_at_any_moment_arrives(
    things: tuple[Settings, Stream], writer_settings: Settings
) -> None:
    """Each kill comes a little later after the first new window than the one before, wherever the process is then."""
    settings, stream = things
    found: dict[str, bytes] = {}
    for number in range(1, 4):
        with start(settings) as process:
            while process.poll() is None and len(windows(settings)) <= len(found):
                time.sleep(0.002)
            time.sleep(0.007 * number)
            process.kill()
        assert process.returncode == -signal.SIGKILL, "the load ended before the kill"
        staged = windows(settings)
        assert found.items() <= staged.items()
        assert len(staged) > len(found), "each run goes on"
        found = staged
        change(writer_settings, number)
    finish(settings, stream, found)
