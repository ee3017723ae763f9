"""Test the command line's help and its errors."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.program import Ended, run_program

ROOT = Path(__file__).parent.parent

Run = Callable[..., Ended]


@pytest.fixture
def adventure(empty_folder: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command in an empty folder, without settings."""
    return lambda *arguments, **environment: run_program(arguments, capfd, COLUMNS="200", **environment)


def test_the_package_is_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "adventure", "--help"], cwd=ROOT, capture_output=True, check=True)
    assert b"Usage: adventure " in done.stdout


def test_help_lists_the_commands(adventure: Run) -> None:
    text = adventure("--help").out
    for command in (
        "demo",
        "generate",
        "process",
        "stage",
        "tasks",
        "build",
        "check",
        "status",
        "dashboard",
        "history",
    ):
        assert f"│ {command} " in text


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (("--env", "absent.env", "status"), {}, "The settings file absent.env does not exist. Give --env a file"),
        (("status",), {"POSTGRES_PORT": "many"}, "POSTGRES_PORT must be a whole number (from the environment)"),
        (("status",), {"PIPELINE_FILE": "absent.toml"}, "The pipeline file absent.toml does not exist"),
        (("status",), {"WAREHOUSE": "snowflake"}, "needs SNOWFLAKE_ACCOUNT and SNOWFLAKE_USER"),
        (("stage", "list", "refunds"), {}, "There is no stream named refunds. Choose one of: orders, order_details"),
        (("tasks", "serve", "--every", "soon"), {}, "'soon' is not a duration"),
    ],
)
def test_an_error_is_one_sentence_and_exit_code_1(
    adventure: Run, arguments: tuple[str, ...], environment: dict[str, str], sentence: str
) -> None:
    done = adventure(*arguments, **environment)
    assert done.code == 1
    assert sentence in done.err
    assert "Traceback" not in done.err


def test_an_error_is_a_json_object_with_json_logs(adventure: Run) -> None:
    done = adventure("stage", "list", "refunds", LOG_FORMAT="json")
    assert done.code == 1
    line = json.loads(done.sentence)
    assert line["level"] == "error"
    assert line["event"].startswith("There is no stream named refunds.")


def test_debug_shows_the_traceback(adventure: Run) -> None:
    done = adventure("--debug", "--env", "absent.env", "status")
    assert done.code == 1
    assert "Traceback" in done.err


def test_an_unknown_option_is_a_usage_error(adventure: Run) -> None:
    assert adventure("process", "--no-such-option").code == 2
