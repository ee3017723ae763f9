"""Build the wheels of the two distributions, and install them as a user does."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "adventure" / "demo"
UV = Path(sys.executable).with_name("uv")


def build_wheels(folder: Path) -> dict[str, Path]:
    """Return the wheels by the name of their distribution."""
    for project in (ROOT, DEMO):
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
        subprocess.run(command, cwd=project, check=True, capture_output=True)
    return {path.name.partition("-")[0]: path for path in folder.glob("*.whl")}


def newest_interpreter() -> str:
    """Return the newest Python on this machine that the project supports."""
    folders = (Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions").glob("3.*/bin")
    path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
    listed = subprocess.run(
        [UV, "python", "list", "--only-installed", "--output-format", "json", ">=3.11,<3.14"],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    found = max(json.loads(listed.stdout), key=lambda each: tuple(each["version_parts"].values()))
    return str(found["path"])


def install(python: str, folder: Path, wheels: Path, requirement: str, *options: str) -> Path:
    """Install a requirement into a new environment, and return its folder of commands.

    Versions are those of the locks, so that a release of somebody else does not fail the test.
    """
    quiet = ("--quiet", "--no-progress")
    subprocess.run([UV, "venv", *quiet, "--python", python, folder], check=True)
    subprocess.run(
        [
            *(UV, "pip", "install", *quiet, "--python", folder / "bin" / "python"),
            *("--find-links", wheels, "--constraint", ROOT / "requirements" / "dev.lock"),
            *options,
            requirement,
        ],
        check=True,
    )
    return folder / "bin"
