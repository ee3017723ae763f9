"""Create a separate environment for each tool, with pinned versions and nothing else."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path


class CannotInstall(Exception):
    """Raised if a tool's environment cannot be created; holds the reason."""


def prepare(environment: Path, pins: Path) -> None:
    """Create the environment if it does not exist or was created from other pins.

    Args:
        pins: a complete requirements file; nothing else is installed.

    Raises:
        CannotInstall: the installer failed; holds its message.
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
