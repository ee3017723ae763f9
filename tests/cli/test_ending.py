"""A command that has finished its work ends its process at once, with all of its output and its exit code."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adventure import cli
from adventure.cli import processing
from adventure.cli.ending import ExitAtOnce
from adventure.core.settings import Settings

SCRIPT = """
import atexit
from adventure.cli.ending import ExitAtOnce, end
atexit.register(print, "Python's own end")
print("all of it")
end({ended}({code}))
"""


def run(ended: str, code: int, output: Path) -> int:
    with output.open("w") as file:
        return subprocess.run([sys.executable, "-c", SCRIPT.format(ended=ended, code=code)], stdout=file).returncode


@pytest.mark.parametrize("code", [0, 1])
def test_the_process_ends_with_its_output_and_code(tmp_path: Path, code: int) -> None:
    assert run("ExitAtOnce", code, tmp_path / "output") == code
    assert (tmp_path / "output").read_text() == "all of it\n"


def test_a_command_that_does_not_ask_for_it_ends_as_usual(tmp_path: Path) -> None:
    assert run("SystemExit", 1, tmp_path / "output") == 0
    assert (tmp_path / "output").read_text() == "all of it\nPython's own end\n"


def test_output_that_cannot_be_written_is_an_error() -> None:
    assert run("ExitAtOnce", 0, Path("/dev/full")) == 1


@pytest.fixture
def run_main(monkeypatch: pytest.MonkeyPatch) -> Callable[..., SystemExit]:
    """Return a function that runs the program with these arguments, and returns how it ends."""
    for name in ("only_owner", "collect_seldom"):
        monkeypatch.setattr(cli, name, lambda: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def run_main(*arguments: str) -> SystemExit:
        monkeypatch.setattr(sys, "argv", ["adventure", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value

    return run_main


@pytest.mark.parametrize("arguments", [["--help"], ["stage", "-h"]])
def test_a_help_that_was_printed_leaves_nothing_to_wait_for(
    arguments: list[str], run_main: Callable[..., SystemExit], capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run_main(*arguments)
    assert isinstance(ended, ExitAtOnce)
    assert ended.code == 0
    assert "Usage: adventure" in capsys.readouterr().out


def test_wrong_usage_beside_help_keeps_its_exit_code(run_main: Callable[..., SystemExit]) -> None:
    ended = run_main("--quietly", "--help")
    assert not isinstance(ended, ExitAtOnce)
    assert ended.code == 2


def test_one_cycle_leaves_nothing_to_wait_for(
    run_main: Callable[..., SystemExit], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[object] = []
    monkeypatch.setattr(processing, "load_given_pipeline", lambda _: (Settings(), ()))
    monkeypatch.setattr(processing, "prepare_imports", lambda: None)
    monkeypatch.setattr("adventure.processor.run.process_once", lambda *given: ran.append(given))
    for arguments in (["process"], ["process", "--quiet"]):
        ended = run_main(*arguments)
        assert isinstance(ended, ExitAtOnce)
        assert ended.code == 0
    assert len(ran) == 2
