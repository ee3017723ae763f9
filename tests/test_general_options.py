"""Test the options that every command shares: help, version, completion, log level and settings file."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from adventure.cli import app
from adventure.cli.general import general_first
from adventure.core import log

ROOT = Path(__file__).parent.parent


def commands(found: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command and group of commands with the words that call it."""
    found = found or typer.main.get_command(app)
    yield words, found
    for name, child in getattr(found, "commands", {}).items():
        yield from commands(child, (*words, name))


COMMANDS = dict(commands())


@pytest.fixture
def run(empty_folder: Path) -> Any:
    """Return a function that runs a command in this process, with the settings' defaults and an empty folder."""
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_h_shows_the_same_help_as_help(words: tuple[str, ...]) -> None:
    short, long = (CliRunner().invoke(app, [*words, option]) for option in ("-h", "--help"))
    assert short.exit_code == 0
    assert short.output == long.output
    assert "Usage: " in short.output


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_flag_has_no_second_name_that_turns_it_off(words: tuple[str, ...]) -> None:
    assert [param.name for param in COMMANDS[words].params if param.secondary_opts] == []


def test_version_is_that_of_the_distribution() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"adventure {version('adventure-pipeline')}\n")


def test_the_environment_file_is_read_before_and_behind_the_command(run: Any, tmp_path: Path) -> None:
    (tmp_path / "other.env").write_text("DATA_DIR=elsewhere\n")
    for arguments in (
        ("--env", "other.env", "-v", "stage", "list"),
        ("stage", "list", "--env", "other.env", "-v"),
        ("stage", "--env=other.env", "list", "--verbose"),
    ):
        done = run(*arguments)
        assert done.exit_code == 0
        assert "read other.env and the environment; data in elsewhere" in done.stderr


def test_an_environment_option_without_a_file_is_a_usage_error(run: Any) -> None:
    done = run("stage", "list", "--env")
    assert done.exit_code == 2
    assert "'--env' requires an argument" in done.stderr


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("status --check", "status --check"),
        ("status --debug --check -q", "--debug -q status --check"),
        ("reconcile orders --env a.env --rows", "--env a.env reconcile orders --rows"),
        ("stage list -- --env -q", "stage list -- --env -q"),
    ],
)
def test_general_options_move_to_the_front(given: str, expected: str) -> None:
    assert general_first(given.split()) == expected.split()


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ([], ["INFO", "WARNING"]),
        (["-q"], ["WARNING"]),
        (["--quiet"], ["WARNING"]),
        (["-v"], ["DEBUG", "INFO", "WARNING"]),
        (["--verbose"], ["DEBUG", "INFO", "WARNING"]),
    ],
)
def test_quiet_and_verbose_set_the_log_level(
    run: Any, monkeypatch: pytest.MonkeyPatch, options: list[str], shown: list[str]
) -> None:
    def log_all(*_: object) -> None:
        for level in ("debug", "info", "warning"):
            getattr(log.get_logger(), level)(f"a line of {level.upper()}")

    monkeypatch.setattr("adventure.monitoring.status.print_stage", log_all)
    done = run(*options, "stage", "list")
    assert re.findall(r"a line of (\w+)", done.stderr) == shown


def test_quiet_and_verbose_exclude_each_other(run: Any) -> None:
    done = run("stage", "list", "-q", "-v")
    assert done.exit_code == 2
    assert "exclude each other" in done.stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("terminal", "environment", "coloured"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": ""}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
    ],
)
def test_log_levels_are_coloured_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, environment: dict[str, str], coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    written = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    log.configure("text")
    log.get_logger().warning("orders: late rows")
    line = written.getvalue()
    assert ("\x1b[33mWARNING \x1b[0m" in line) == ("\x1b" in line) == coloured
    assert line.rstrip().endswith("orders: late rows")


def test_json_logs_have_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    written = Terminal()
    monkeypatch.setattr(sys, "stderr", written)
    log.configure("json")
    log.get_logger().error("orders: late rows")
    assert json.loads(written.getvalue())["level"] == "error"


def test_bash_completes_commands() -> None:
    """The shell calls the command with these variables when somebody presses Tab."""
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    pressed = {"_ADVENTURE_COMPLETE": "complete_bash", "COMP_WORDS": "adventure sta", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "adventure"], env=clean | pressed, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["status", "stage"]


def test_the_completion_script_of_the_shell_is_printed() -> None:
    command = f"{sys.executable} -m adventure --show-completion; true"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "complete -o default -F" in done.stdout
    assert "_ADVENTURE_COMPLETE=complete_bash" in done.stdout
