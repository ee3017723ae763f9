"""Test the command line's help and its errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def adventure(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command from the repository as a user would, with only these variables set."""
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    return subprocess.run(
        [sys.executable, "-m", "adventure", *arguments],
        cwd=ROOT,
        env=clean | {"COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_lists_the_commands() -> None:
    text = adventure("--help").stdout
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
    arguments: tuple[str, ...], environment: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    done = adventure(*arguments, DATA_DIR=str(tmp_path), **environment)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_is_a_json_object_with_json_logs(tmp_path: Path) -> None:
    done = adventure("stage", "list", "refunds", DATA_DIR=str(tmp_path), LOG_FORMAT="json")
    assert done.returncode == 1
    line = json.loads(done.stderr)
    assert line["level"] == "error"
    assert line["event"].startswith("There is no stream named refunds.")


def test_debug_shows_the_traceback() -> None:
    done = adventure("--debug", "--env", "absent.env", "status")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_an_unknown_option_is_a_usage_error() -> None:
    assert adventure("process", "--no-such-option").returncode == 2
