"""A command of the demo that ends is named and started again, and stops none of the others."""

import re
import sys
from functools import partial
from pathlib import Path

import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import ConfigError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo import run, services
from adventure.demo.generator.run import backfill
from adventure.demo.services import Services
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.processor.run import process_once
from tests.waiting import until


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    """Two commands of a program that stands for Adventure: `stay` waits, any other one prints a line and ends."""
    program = tmp_path / "adventure.py"
    program.write_text("import sys, time\ntime.sleep(60) if 'stay' in sys.argv else sys.exit('it is broken')\n")
    monkeypatch.setattr(services, "FIRST_WAIT_SEC", 0.0)
    monkeypatch.setattr(services, "MOST_FAILURES", 3)
    monkeypatch.chdir(tmp_path)
    made = Services(tmp_path / "logs")
    made.start("steady", ["stay"], {})
    made.start("broken", ["break"], {"PYTHONUNBUFFERED": "1"})
    return made


def test_a_command_that_ends_is_named_and_started_again_until_it_is_given_up(running: Services) -> None:
    sentences: list[str] = []
    try:
        until(lambda: bool(sentences.extend(running.watch()) or len(sentences) == 3))
        log = running.folder / "broken.log"
        assert sentences[0] == (
            f"`adventure break` ended with exit code 1 and starts again in 0 s. See {log}: it is broken"
        )
        assert sentences[2].startswith("`adventure break` ended with exit code 1 3 times in a row, and is not")
        assert log.read_text().count("it is broken") == 3
        assert running.stopped() == ["broken"]
        assert list(running.watch()) == []
    finally:
        running.stop()
    assert running.stopped() == ["steady", "broken"]


def test_a_command_that_is_killed_runs_again(running: Services) -> None:
    steady = running.services[0]
    try:
        assert steady.process is not None
        before = steady.process.pid
        steady.process.kill()
        until(lambda: bool(list(running.watch())) and steady.process is None)
        until(lambda: not list(running.watch()) and steady.is_running)
        assert steady.process.pid != before
    finally:
        running.stop()


def test_the_live_line_has_the_url_the_rows_and_what_does_not_run(
    running: Services, settings: Settings, writer_settings: Settings, streams: tuple[Stream, ...]
) -> None:
    ends: list[str] = []
    line = partial(run._status, settings, running)
    address = f"http://127.0.0.1:{settings.dashboard_port}"
    try:
        until(lambda: bool(ends.extend(running.watch()) or len(ends) == 3))
        broken = "[yellow]not running: broken[/yellow]  ·  Ctrl-C stops"
        assert line() == f"{address}  ·  {broken}", "before anything was published"
        backfill(writer_settings, orders=10, days=2, seed=1)
        process_once(settings, streams)
        warehouse = DuckDBWarehouse(settings)
        rows = sum(load.rows for stream in streams for load in [warehouse.load(stream)])
        warehouse.publish_report(streams, interval=None)
        loaded = rf"{rows:,} rows loaded, the last ones \d+ s ago"
        assert re.fullmatch(f"{address}  ·  {loaded}  ·  {re.escape(broken)}", line()), line()
    finally:
        running.stop()


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("package", r"The demo needs the package streamlit, .* pip install 'adventure-pipeline\[dashboard\]'"),
        ("disk", r"has 0\.1 GB free, and the demo needs 1 GB\. Free some space"),
        ("folder", "DATA_DIR .* cannot be used: Not a directory. Set DATA_DIR to a folder"),
        ("unwritable", "DATA_DIR /proc cannot be written: .* Set DATA_DIR to a folder"),
    ],
)
def test_the_demo_checks_the_machine_before_it_starts_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, sentence: str
) -> None:
    data_dir = tmp_path / "data"
    if fault == "package":
        monkeypatch.setattr(run, "find_spec", lambda name: None if name == "streamlit" else sys)
    elif fault == "disk":
        monkeypatch.setattr(run, "disk_usage", lambda _: type("Usage", (), {"free": 100_000_000}))
    elif fault == "folder":
        data_dir.write_text("a file")
    else:
        data_dir = Path("/proc")
    monkeypatch.setattr(run, "Sandbox", lambda *_: pytest.fail("a server starts"))
    with pytest.raises(ConfigError, match=sentence):
        run.run_demo(load_settings(data_dir=data_dir), once=True, orders=1, seed=None)
