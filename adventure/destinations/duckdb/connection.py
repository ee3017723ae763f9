"""Opens the DuckDB file, which only one process at a time can have open.

Each command keeps the file open only briefly. A lock file makes Adventure's processes wait for each other, and opening
the file is retried while another program holds it.
"""

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from adventure.core.errors import WarehouseBusy, WarehouseError
from adventure.core.private import close_to_others, make_folder
from adventure.destinations.warehouse import Execute

RETRY_FOR_SEC = 60.0
"""How long to wait for the file before raising WarehouseBusy."""

_RAISE_LIMIT = "Raise this user's limit of open files (ulimit -n), and run the command again"


@contextmanager
def file_lock(path: Path, retry_for: float | None = None) -> Iterator[None]:
    """Hold the lock that keeps Adventure's other processes from opening the file.

    Args:
        retry_for: seconds to wait for it; by default RETRY_FOR_SEC.

    Raises:
        WarehouseBusy: another process held the lock for as long.
        WarehouseError: the file's folder cannot be written.
    """
    retry_for = RETRY_FOR_SEC if retry_for is None else retry_for
    try:
        make_folder(path.parent)
        lock = FileLock(path.with_suffix(".lock"), timeout=retry_for)
        lock.acquire()
    except Timeout as error:
        raise _busy(path, _holder_of(path), retry_for) from error
    except OSError as error:
        is_the_folder = error.errno not in (errno.EMFILE, errno.ENFILE)
        remedy = "Check its permissions, or set DATA_DIR to another folder" if is_the_folder else _RAISE_LIMIT
        raise WarehouseError(
            f"The warehouse's folder {path.parent} cannot be written: {error.strerror or error}", remedy
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def connect(path: Path, retry_for: float | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse with the time zone UTC, and close it at the end of the block.

    Args:
        retry_for: seconds to wait for the lock, and then for the file; by default RETRY_FOR_SEC.

    Raises:
        WarehouseBusy: another process had the file open for as long.
        WarehouseError: the file is no DuckDB database or damaged, or a statement failed.
    """
    with file_lock(path, retry_for), open_locked(path, retry_for) as connection, translating_duckdb(path):
        yield connection


@contextmanager
def open_locked(path: Path, retry_for: float | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse as `connect` does, where the caller holds its lock. DuckDB's errors are not translated."""
    connection = _open(path, RETRY_FOR_SEC if retry_for is None else retry_for)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def translating_duckdb(path: Path) -> Iterator[None]:
    """Translate DuckDB's errors within the block.

    Raises:
        WarehouseError: a statement failed.
    """
    try:
        yield
    except duckdb.Error as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise WarehouseError(f"The warehouse {path} failed: {reason}", "The transaction was rolled back") from error


def executing(connection: duckdb.DuckDBPyConnection) -> Execute:
    """Return a function that runs statements on an open connection."""
    return lambda statement, values: connection.execute(statement, list(values)).fetchall()


@contextmanager
def released_by_dbt() -> Iterator[None]:
    """Let dbt close its connections afterwards: dbt-duckdb keeps the file open for its next run."""
    try:
        yield
    finally:
        if loaded := sys.modules.get("dbt.adapters.duckdb.connections"):
            loaded.DuckDBConnectionManager.close_all_connections()


def _open(path: Path, retry_for: float) -> duckdb.DuckDBPyConnection:
    attempts = Retrying(
        retry=retry_if_exception_type(WarehouseBusy),
        stop=stop_after_delay(retry_for),
        wait=wait_random(0.1, 0.5),
        reraise=True,
    )
    for attempt in attempts:
        with attempt:
            try:
                connection = duckdb.connect(str(path))
                connection.execute("set timezone = 'UTC'")
                connection.execute("set enable_progress_bar = false")
                close_to_others(path)
                return connection
            except duckdb.Error as error:
                if holder := _named_in(error):
                    raise _busy(path, holder, retry_for) from error
                raise _unusable(path, error) from error
    raise AssertionError("unreachable")


def _named_in(error: duckdb.Error) -> str:
    """Return the process that holds the file, as DuckDB names it; empty if the error has another reason."""
    if "Could not set lock" not in str(error):
        return ""
    found = re.search(r"held in (.+?) \(PID (\d+)\)", str(error))
    return f"{Path(found[1]).name} (process {found[2]})" if found else "another program"


def _holder_of(path: Path) -> str:
    """Return the process that has the file open, while another Adventure command holds the lock file."""
    try:
        duckdb.connect(str(path), read_only=True).close()
    except duckdb.Error as error:
        return _named_in(error) or "another command"
    return "another command"


def _unusable(path: Path, error: duckdb.Error) -> WarehouseError:
    """Return the error for a file that DuckDB does not open, with the remedy for its reason."""
    reason = (str(error).splitlines() or ["no reason given"])[0]
    if "newer version of DuckDB" in str(error):
        remedy = "Use the version of Adventure that wrote it, or a newer one"
    elif "Too many open files" in str(error):
        remedy = _RAISE_LIMIT
    elif path.exists() and not os.access(path, os.R_OK | os.W_OK):
        remedy = "Grant this user permission to read and write it"
    else:
        remedy = (
            "Restore it from a backup (docs/operations.md). Without a backup, move the file away and run"
            " `adventure stream reset NAME` for each stream, which reads the whole stream again"
        )
    return WarehouseError(f"The warehouse {path} cannot be opened: {reason}", remedy)


def _busy(path: Path, holder: str, retry_for: float) -> WarehouseBusy:
    return WarehouseBusy(
        f"The warehouse {path} is held by {holder}; waited {retry_for:.0f} s for it",
        "Wait for that process or stop it; DuckDB allows one process at a time",
    )
