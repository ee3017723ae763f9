"""A folder for a command's temporary files. What a killed command left is removed by the next one."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from adventure.core.private import make_folder


@contextmanager
def scratch_folder(parent: Path, purpose: str) -> Iterator[Path]:
    """Make a folder of its own in `parent`, and remove it at the end.

    A lock beside the folder says that its command is alive: a process that is killed loses its locks.

    Args:
        purpose: what the names of these folders begin with.

    Raises:
        OSError: the folder cannot be made.
    """
    make_folder(parent)
    for abandoned in {path.with_suffix("") for path in parent.glob(f"{purpose}-*")}:
        with suppress(Timeout), _lock_of(abandoned):
            _remove(abandoned)
    with _claimed(parent, purpose) as folder:
        folder.mkdir()
        try:
            yield folder
        finally:
            _remove(folder)


@contextmanager
def _claimed(parent: Path, purpose: str) -> Iterator[Path]:
    """Lock a new name before its folder exists: a folder without a lock is abandoned."""
    while True:
        folder = parent / f"{purpose}-{secrets.token_hex(6)}"
        with suppress(Timeout), _lock_of(folder) as lock:
            # Another command may have taken the new lock for an abandoned one, and removed it.
            if Path(lock.lock_file).exists():
                yield folder
                return


def _lock_of(folder: Path) -> FileLock:
    return FileLock(folder.with_suffix(".lock"), timeout=0)


def _remove(folder: Path) -> None:
    """Remove the folder and its lock, which the caller holds."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".lock").unlink(missing_ok=True)
