"""An environment of its own for each tool: what it needs in pinned versions, compiled, with nothing beside it."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path


class CannotInstall(Exception):
    """Why a tool has no environment."""


def prepare(environment: Path, pins: Path) -> None:
    """Makes the environment where it is not there yet, or was made from other pins.

    Args:
        pins: a requirements file that is whole: nothing that it does not name is installed.

    Raises:
        CannotInstall: with the installer's reason.
    """
    stamp, digest = environment / "pins", hashlib.sha256(pins.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    print(f"installing {pins.name} (once)", flush=True)
    shutil.rmtree(environment, ignore_errors=True)
    uv = str(Path(sys.executable).with_name("uv"))
    into = ["--quiet", "--python", str(environment)]
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(environment)],
        [uv, "pip", "install", *into, "--no-deps", "--compile-bytecode", "-r", str(pins)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CannotInstall((done.stderr.strip().splitlines() or ["no reason given"])[-1].strip())
    stamp.write_text(digest)
