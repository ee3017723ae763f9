"""The two distributions: the wheel of `adventure` leaves the demo out, and `adventure-demo` brings it."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "adventure" / "demo"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    for project in (ROOT, DEMO):
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
        subprocess.run(command, cwd=project, check=True, capture_output=True)
    return {path.name.partition("-")[0]: path for path in folder.glob("*.whl")}


def installed(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)


def files(folder: Path) -> set[str]:
    """The package's files that git would keep, as they stand in a wheel."""
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in found} - {"adventure/demo/pyproject.toml"}


def test_each_file_of_the_package_is_in_exactly_one_wheel(wheels: dict[str, Path]) -> None:
    contents = {
        name: {each for each in zipfile.ZipFile(path).namelist() if ".dist-info/" not in each}
        for name, path in wheels.items()
    }
    assert contents == {"adventure_demo": files(DEMO), "adventure": files(ROOT / "adventure") - files(DEMO)}


@pytest.mark.parametrize("command", [("demo",), ("generate",), ("history", "create"), ("history", "load", ".")])
def test_without_the_demo_its_commands_name_the_install_that_has_it(
    wheels: dict[str, Path], tmp_path: Path, command: tuple[str, ...]
) -> None:
    installed(wheels["adventure"], tmp_path)
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    done = subprocess.run(
        [sys.executable, "-m", "adventure", *command],
        cwd=tmp_path,
        env=clean | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "this install has no adventure.demo. Install the extra `demo`" in done.stderr
    assert "Traceback" not in done.stderr


def test_both_have_one_version_and_the_extra_asks_for_it() -> None:
    ours, demo = (
        tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"] for folder in (ROOT, DEMO)
    )
    assert demo["version"] == ours["version"]
    assert f"adventure-demo[sandbox]=={ours['version']}" in ours["optional-dependencies"]["demo"]
    assert f"adventure=={ours['version']}" in demo["dependencies"]
