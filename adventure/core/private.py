"""Files that hold customers' data are readable by their owner only, whatever the umask was."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from adventure.core.errors import ConfigError

_FOLDER, _FILE = 0o700, 0o600


def only_owner() -> None:
    """Make every file and folder that this process creates from now on readable by its owner only.

    The umask is what also reaches DuckDB's write-ahead log and spilled rows, Parquet files, dbt's logs and lock files,
    which other libraries create. It is called wherever files are about to be written, since any of these may be first.
    """
    os.umask(0o077)


def make_folder(path: Path) -> None:
    """Create the folder and those above it, readable by their owner only.

    Raises:
        OSError: it cannot be created.
    """
    only_owner()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None


def make_data_dir(path: Path) -> None:
    """Create DATA_DIR, readable by its owner only.

    Raises:
        ConfigError: it cannot be created, or is a file.
    """
    try:
        make_folder(path)
    except OSError as error:
        raise ConfigError(
            f"DATA_DIR {path} cannot be used: {error.strerror or error}",
            "Set DATA_DIR to a folder that this user can write",
        ) from error


def close_to_others(path: Path) -> None:
    """Take away the rights of other users, which an earlier version or a copy left; skip files of another user."""
    with suppress(OSError):
        mode = path.stat().st_mode
        if mode & 0o077:
            path.chmod(_FOLDER if path.is_dir() else _FILE)
