"""Opening the DuckDB file, which one process at a time may have open.

Every command opens it for as short as it can and waits for the others; a lock file keeps our own processes in line, and
what else holds the file is waited for as well.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from adventure.core.errors import WarehouseBusy, WarehouseError
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
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"), timeout=PATIENCE_SEC)
        lock.acquire()
    except Timeout as error:
        raise _busy(path, "another command") from error
    except OSError as error:
        remedy = "Check its permissions, or set DATA_DIR to another folder"
        raise WarehouseError(
            f"The warehouse's folder {path.parent} cannot be written: {error.strerror}", remedy
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
                return connection
            except duckdb.IOException as error:
                if "lock" in str(error):
                    raise _busy(path, "another program") from error
                raise WarehouseError(f"The warehouse {path} cannot be opened: {error}", "Check the file") from error
    raise AssertionError("unreachable")


def _busy(path: Path, holder: str) -> WarehouseBusy:
    return WarehouseBusy(
        f"The warehouse {path} is held by {holder} for longer than {PATIENCE_SEC:.0f} s",
        "Wait for it or end it; DuckDB lets one process at a time in",
    )
