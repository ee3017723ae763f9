"""Stop servers that outlive their tests: pytest-xdist kills its workers at Ctrl-C, and a worker may crash."""

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
            # The pid may have been reused by another process.
            if str(process.create_time()) == path.read_text():
                process.terminate()
