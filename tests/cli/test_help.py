"""Help shows flags as flags and the shared options of every command; a refused value is one plain sentence."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adventure.cli import app
from tests.test_general_options import COMMANDS

SHARED = ("--env", "--quiet", "-q", "--verbose", "-v", "--debug")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_shows_flags_as_flags_and_the_shared_options(words: tuple[str, ...]) -> None:
    text = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "150"}).stdout
    assert "<bool>" not in text
    assert [option for option in SHARED if f" {option} " not in text.replace("\n", " ")] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("mcp --port many", "Invalid value for '--port': it must be a whole number"),
        ("mcp --port 0", "Invalid value for '--port': it must be 1 or more"),
        ("mcp --port 70000", "Invalid value for '--port': it must be 65535 or less"),
        ("demo --orders 1.5", "Invalid value for '--orders': it must be a whole number"),
        ("reconcile --from soon", "Invalid value for '--from': it must be a time, such as 2026-01-31 or"),
        ("reconcile --to 2026-13-01", "Invalid value for '--to': it must be a time, such as 2026-01-31 or"),
        ("statsu", "No such command 'statsu'. Did you mean 'status'?"),
        ("status --chek", "No such option: --chek (Possible options: --check, --help)"),
        ("query", "Missing argument 'statement'."),
    ],
)
def test_a_value_that_is_refused_is_one_plain_sentence(arguments: str, sentence: str) -> None:
    done = CliRunner().invoke(app, arguments.split(), env={"COLUMNS": "150"})
    assert done.exit_code == 2
    assert sentence in " ".join(done.stderr.split())
    assert "Input should" not in done.stderr


@pytest.mark.parametrize(
    ("line", "offered"),
    [("adventure status --", {"--check", "--json", "--env", "--quiet"}), ("adventure stage ", {"list", "remove"})],
)
def test_the_shell_completes_options_and_commands_of_groups(line: str, offered: set[str], monkeypatch: Any) -> None:
    words = line.split(" ")
    monkeypatch.setenv("_ADVENTURE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    done = CliRunner().invoke(app, prog_name="adventure")
    assert offered <= set(done.stdout.split())


def test_help_imports_no_database_driver(tmp_path: Path) -> None:
    """A person who asks for help does not wait for what the command needs."""
    code = (
        "import sys; from typer.testing import CliRunner; from adventure.cli import app;"
        " CliRunner().invoke(app, ['status', '--help']);"
        " print([name for name in ('duckdb', 'pyarrow', 'psycopg', 'pymongo') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
