"""The warehouse file. DuckDB gives it to one process at a time: open it late, close it soon, wait for one's turn."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from adventure.errors import WarehouseBusy, WarehouseError

PATIENCE_SEC = 60.0
"""How long to wait for another process to close the file."""

_TABLES = Path(__file__).with_name("tables.sql").read_text(encoding="utf-8")


@contextmanager
def connect(path: Path) -> Iterator[DuckDBPyConnection]:
    """The warehouse file with its tables, for as long as the context lasts. The session's time zone is UTC.

    Raises:
        WarehouseBusy: another process holds the file for more than PATIENCE_SEC.
        WarehouseError: DuckDB fails, here or within the context; what was not committed is rolled back.
    """
    try:
        connection = _open(path)
        try:
            connection.execute(_TABLES)
            yield connection
        finally:
            connection.close()
    except duckdb.Error as error:
        raise _translated(path, error) from error


@contextmanager
def transaction(connection: DuckDBPyConnection) -> Iterator[None]:
    """All of the statements within, or none."""
    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException:
        # A failed commit has ended the transaction already.
        with suppress(duckdb.TransactionException):
            connection.rollback()
        raise


def quoted(*parts: str) -> str:
    """An identifier, whatever its letters: `"schema"."table"`."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def literal(text: str) -> str:
    """A string literal, for the few places where DuckDB binds no value."""
    return "'" + text.replace("'", "''") + "'"


def _open(path: Path) -> DuckDBPyConnection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WarehouseError(
            f"The folder {path.parent} cannot be made: {error.strerror or error}", "Set DATA_DIR to one that can"
        ) from error
    for attempt in Retrying(
        retry=retry_if_exception_type(WarehouseBusy),
        stop=stop_after_delay(PATIENCE_SEC),
        wait=wait_exponential_jitter(initial=0.02, max=1),
        reraise=True,
    ):
        with attempt:
            try:
                # No configuration: dbt opens the same file in this process, and DuckDB wants both to agree.
                connection = duckdb.connect(str(path))
            except duckdb.IOException as error:
                raise _translated(path, error) from error
            connection.execute("set TimeZone = 'UTC'")
            return connection
    raise AssertionError("unreachable")


def _translated(path: Path, error: duckdb.Error) -> WarehouseError:
    text = str(error).strip().splitlines()[0]
    if "Could not set lock on file" in text:
        holder = text.partition("Conflicting lock is held in ")[2].partition(". See ")[0]
        return WarehouseBusy(
            f"The warehouse {path} is held by another process{f', {holder}' if holder else ''}",
            "DuckDB has one writer at a time: end that process or wait until it is done",
        )
    remedy = "Free space on its disk and run it again: nothing is half loaded" if "No space left" in text else ""
    return WarehouseError(f"The warehouse {path} failed: {text.rstrip('.')}", remedy)
