"""A command of the demo that ends is named and started again, and stops none of the others."""

import sys
from pathlib import Path

import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import ConfigError
from adventure.demo import run, services
from adventure.demo.services import Services
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
