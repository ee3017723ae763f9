"""Servers that outlive their tests: pytest-xdist kills its workers at Ctrl-C, and an abort ends one at once."""

import contextlib
from pathlib import Path

import psutil


def note(folder: Path, pid: int) -> None:
    """Write down that a test has started this process."""
    folder.mkdir(exist_ok=True)
    with contextlib.suppress(psutil.NoSuchProcess):  # it did not start
        (folder / str(pid)).write_text(str(psutil.Process(pid).create_time()))


def stop(folder: Path) -> None:
    """Stop the processes noted in `folder` that are still alive."""
    for path in folder.glob("*"):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(int(path.name))
            # By now the number may be another process's.
            if str(process.create_time()) == path.read_text():
                process.terminate()
