"""The commands in the error replace a damaged window. A window with rows that exist nowhere else is kept."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adventure import cli
from adventure.core.errors import StageDamaged
from adventure.core.manifest import MANIFEST, Window
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.duckdb.stage import FolderStage
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.destinations.results import LoadResult
from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline, process_once
from adventure.processor.state import State, read_watermarks
from adventure.tasks import graph
from tests.processor.conftest import stream_of, writer

THINGS = stream_of("things")


@pytest.fixture(autouse=True)
def _no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "_build", lambda *_: (LoadResult(), "nothing"))
    monkeypatch.setattr(graph, "_publish", lambda *_: (LoadResult(), ""))


@pytest.fixture
def insert(writer_settings: Settings) -> Iterator[Callable[[int], None]]:
    """Return a function that adds a row to the table `things`."""
    with writer(writer_settings) as connection:
        connection.execute(
            "create table things (id int primary key, value text,"
            " changed_at timestamp not null default (clock_timestamp() at time zone 'utc'))"
        )
        connection.execute("create index on things (changed_at)")

        def add(number: int) -> None:
            connection.execute("insert into things values (%s, 'value')", [number])

        yield add


@pytest.fixture
def stage(settings: Settings) -> FolderStage:
    return FolderStage(settings.stage_dir)


@pytest.fixture
def stream(request: pytest.FixtureRequest) -> Stream:
    """Return the stream with the lookback, in seconds, that the test asks for."""
    return replace(THINGS, lookback=timedelta(seconds=getattr(request, "param", 0)))


Run = Callable[[str], Result]


@pytest.fixture
def run(settings: Settings, stream: Stream, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command line."""
    for place in ("adventure.cli.compare", "adventure.cli.stage", "adventure.cli.job"):
        monkeypatch.setattr(f"{place}.pipeline_of", lambda _: (settings, (stream,)))
    return lambda line: CliRunner().invoke(cli.app, line.removeprefix("adventure ").split())


def windows(stage: FolderStage, settings: Settings, stream: Stream, insert: Callable[[int], None]) -> list[Window]:
    """Stage two windows of one row each, without loading them."""
    with open_pipeline(settings, [stream]) as pipeline:
        for number in (1, 2):
            insert(number)
            time.sleep(0.15)
            run_cycle(pipeline)
    return stage.windows(stream.stage)


def ids(settings: Settings) -> list[int]:
    return [row[0] for row in DuckDBWarehouse(settings).execute("select id from raw_ext.things_raw order by id")]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[FolderStage, Window], object]] = {
    "a flipped byte": lambda stage, window: flip(stage.path(window, "part-00000.parquet")),
    "a file that is missing": lambda stage, window: stage.path(window, "part-00000.parquet").unlink(),
    "a window.json that cannot be read": lambda stage, window: stage.path(window, MANIFEST).write_text("{"),
}


@pytest.mark.parametrize(
    ("stream", "damage", "which"),
    [
        (0, "a flipped byte", 0),
        (0, "a file that is missing", 1),
        (0, "a window.json that cannot be read", 0),
        (3600, "a flipped byte", 1),
        (3600, "a window.json that cannot be read", 1),
    ],
    indirect=["stream"],
)
def test_the_commands_in_the_error_recover_every_row(
    settings: Settings,
    stream: Stream,
    stage: FolderStage,
    insert: Callable[[int], None],
    run: Run,
    damage: str,
    which: int,
) -> None:
    bad = windows(stage, settings, stream, insert)[which]
    DAMAGES[damage](stage, bad)
    with pytest.raises(StageDamaged) as caught:
        DuckDBWarehouse(settings).load(stream)
    assert len(ids(settings)) == 1
    commands = re.findall(r"`(adventure [^`]+)`", caught.value.remedy)
    assert [command.split()[1] for command in commands] == ["reconcile", "stage"]
    for command in commands:
        done = run(command)
        assert done.exit_code == 0, done.output
    run(f"adventure tasks run load_{stream.name}")
    assert ids(settings) == [1, 2]
    assert stage.entries(stream.stage) == []
    assert run(f"adventure reconcile {stream.name}").exit_code == 0
    (removed,) = DuckDBWarehouse(settings).execute("select low, high from raw_ext.load_history where kind = 'removed'")
    assert removed == (bad.low, bad.high), "what the window covered is accounted for"


def test_a_damaged_window_is_kept_if_its_rows_exist_nowhere_else(
    settings: Settings, stream: Stream, stage: FolderStage, insert: Callable[[int], None], run: Run
) -> None:
    bad = windows(stage, settings, stream, insert)[1]
    flip(stage.path(bad, "part-00000.parquet"))
    refused = run(f"adventure stage remove {stream.name} {bad.id}")
    assert refused.exit_code == 1
    assert f"{stream.stage}/{bad.id} was kept: it has 1 rows, 0 rejected rows and 0 deletions" in str(refused.exception)
    assert "differ from the source: 1 missing" in str(refused.exception)
    assert bad in stage.windows(stream.stage)
    assert run(f"adventure stage remove {stream.name} {bad.id} --force").exit_code == 0
    assert bad not in stage.windows(stream.stage)


def test_a_window_that_can_be_loaded_is_kept(
    settings: Settings, stream: Stream, stage: FolderStage, insert: Callable[[int], None], run: Run
) -> None:
    first, second = windows(stage, settings, stream, insert)
    refused = run(f"adventure stage remove {stream.name} {first.id}")
    assert f"Run `adventure tasks run load_{stream.name}`, which loads it" in str(refused.exception)
    assert stage.windows(stream.stage) == [first, second]
    DuckDBWarehouse(settings).load(stream)
    assert run(f"adventure stage remove {stream.name} {first.id}").exit_code == 0
    assert stage.windows(stream.stage) == [second]
    assert run(f"adventure stage remove {stream.name}").output == f"{stream.name}: removed 1 windows (2 files)\n"


def test_a_damaged_window_above_the_watermark_is_removed(
    settings: Settings,
    stream: Stream,
    stage: FolderStage,
    insert: Callable[[int], None],
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    insert(1)
    with monkeypatch.context() as crashing:
        crashing.setattr(State, "advance", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            process_once(settings, [stream])
    (bad,) = stage.windows(stream.stage)
    stage.path(bad, MANIFEST).write_text("{")
    assert read_watermarks(settings) == {}
    assert run(f"adventure stage remove {stream.name} {bad.id}").exit_code == 0
    process_once(settings, [stream])
    DuckDBWarehouse(settings).load(stream)
    assert ids(settings) == [1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--force", "--force needs the name of one window"),
        ("20260101T000000000000Z-abc", "things_stage has no window 20260101T000000000000Z-abc"),
    ],
)
def test_a_missing_window_is_an_error(run: Run, insert: object, arguments: str, sentence: str) -> None:
    assert sentence in str(run(f"adventure stage remove things {arguments}").exception)
