"""A command that has only read ends its process at once, with all of its output and its exit code."""

import subprocess
import sys
from pathlib import Path

import pytest

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
