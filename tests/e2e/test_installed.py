"""Install the built wheels by name into a new environment, and run the demo in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wheels import build_wheels, install, newest_interpreter

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    build_wheels(folder)
    return folder


def run(command: list[str | Path], folder: Path) -> str:
    """Run a command in `folder`, without the variables and the modules of this environment."""
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean | {"COLUMNS": "180"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def tree(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("which", ["this Python", "newest Python"])
def test_the_demo_runs_in_an_empty_folder(wheels: Path, tmp_path: Path, which: str) -> None:
    newest = newest_interpreter()
    if which == "newest Python" and Path(newest).resolve() == Path(sys.executable).resolve():
        pytest.skip("this machine has no newer Python that the project supports")
    python = newest if which == "newest Python" else sys.executable
    commands = install(python, tmp_path / "environment", wheels, "adventure-pipeline[demo]")
    (packaged,) = (tmp_path / "environment").glob("lib/*/site-packages/adventure/packaged")
    folder, before = tmp_path / "empty", tree(packaged)
    folder.mkdir()
    output = run([commands / "adventure", "demo", "--once", "--orders", "500", "--seed", "3"], folder)
    assert "does not hold" not in output
    assert [path.name for path in folder.iterdir()] == [".adventure"]
    # An install may be read-only: dbt writes into DATA_DIR.
    assert tree(packaged) == before
    assert run([commands / "adventure", "--version"], folder).startswith("adventure 0.")
