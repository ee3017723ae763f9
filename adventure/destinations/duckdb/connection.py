"""Opening the DuckDB file, which one process at a time may have open.

Every command opens it for as short as it can and waits for the others; a lock file keeps our own processes in line, and
what else holds the file is waited for as well.
"""

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
from adventure.destinations.common.records import Query

PATIENCE_SEC = 60.0
"""How long the file is waited for before WarehouseBusy is raised."""


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Keeps other processes of the pipeline from opening the file.

    Raises:
        WarehouseBusy: another one had it for PATIENCE_SEC.
        WarehouseError: its folder cannot be written.
    """
    try:
        make_folder(path.parent)
        lock = FileLock(path.with_suffix(".lock"), timeout=PATIENCE_SEC)
        lock.acquire()
    except Timeout as error:
        raise _busy(path, _holder_of(path)) from error
    except OSError as error:
        remedy = "Check its permissions, or set DATA_DIR to another folder"
        raise WarehouseError(
            f"The warehouse's folder {path.parent} cannot be written: {error.strerror or error}", remedy
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def connect(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The open warehouse, in UTC; closed on return, so that others may have it.

    Raises:
        WarehouseBusy: another process had it for PATIENCE_SEC.
        WarehouseError: the file is no DuckDB database, or damaged, or what was asked of it failed.
    """
    with holding(path):
        connection = _open(path)
        try:
            yield connection
        except duckdb.Error as error:
            reason = (str(error).splitlines() or ["no reason given"])[0]
            raise WarehouseError(f"The warehouse {path} failed: {reason}", "Nothing half done was kept") from error
        finally:
            connection.close()


def reading(connection: duckdb.DuckDBPyConnection) -> Query:
    """Queries of a connection that is open."""
    return lambda statement, values: connection.execute(statement, list(values)).fetchall()


@contextmanager
def released_by_dbt() -> Iterator[None]:
    """Let dbt close its connections afterwards: dbt-duckdb keeps the file open for its next run."""
    try:
        yield
    finally:
        if loaded := sys.modules.get("dbt.adapters.duckdb.connections"):
            loaded.DuckDBConnectionManager.close_all_connections()


def _open(path: Path) -> duckdb.DuckDBPyConnection:
    attempts = Retrying(
        retry=retry_if_exception_type(WarehouseBusy),
        stop=stop_after_delay(PATIENCE_SEC),
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
                    raise _busy(path, holder) from error
                raise _unusable(path, error) from error
    raise AssertionError("unreachable")


def _named_in(error: duckdb.Error) -> str:
    """Return the process that holds the file, as DuckDB names it; empty where another reason kept it from opening."""
    if "Could not set lock" not in str(error):
        return ""
    found = re.search(r"held in (.+?) \(PID (\d+)\)", str(error))
    return f"{Path(found[1]).name} (process {found[2]})" if found else "another program"


def _holder_of(path: Path) -> str:
    """Return the process that has the file open, where one of our own commands holds its lock file."""
    try:
        duckdb.connect(str(path), read_only=True).close()
    except duckdb.Error as error:
        return _named_in(error) or "another command"
    return "another command"


def _unusable(path: Path, error: duckdb.Error) -> WarehouseError:
    """Return the error for a file that DuckDB does not open, by what can be done about it."""
    reason = (str(error).splitlines() or ["no reason given"])[0]
    if "newer version of DuckDB" in str(error):
        remedy = "Use the version of Adventure that wrote it, or a newer one"
    elif path.exists() and not os.access(path, os.R_OK | os.W_OK):
        remedy = "Let this user read and write it"
    else:
        remedy = (
            "Restore it from a backup, as docs/operations.md says; without one, move it away and run"
            " `adventure stream reset NAME` for each stream, which reads the stream again"
        )
    return WarehouseError(f"The warehouse {path} cannot be opened: {reason}", remedy)


def _busy(path: Path, holder: str) -> WarehouseBusy:
    return WarehouseBusy(
        f"The warehouse {path} is held by {holder} for longer than {PATIENCE_SEC:.0f} s",
        "Wait for it, or stop it; DuckDB lets one process at a time in",
    )
