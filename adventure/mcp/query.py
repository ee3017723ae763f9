"""Run one bounded SELECT on the published data.

The file is opened read-only. The connection can neither reach other files, hosts and extensions nor change its
configuration. Only one statement of the type SELECT is run.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb

from adventure.core.errors import AdventureError

MOST_ROWS = 1000
MOST_TEXT = 200_000
"""Characters in an answer: what an agent can read."""
MOST_SECONDS = 10.0

_LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "memory_limit": "512MB",
    "temp_directory": "",
    "threads": "1",
    "lock_configuration": "true",
}


def select(path: Path, statement: str, limit: int) -> dict[str, Any]:
    """Return the columns and the first rows of a SELECT.

    Args:
        path: the published file.
        limit: rows to return, at most MOST_ROWS.

    Returns:
        `columns` with name and type, `rows`, and `is_complete`: False if there are more rows than were returned.

    Raises:
        AdventureError: nothing is published, or the statement is refused, fails, or takes longer than MOST_SECONDS.
    """
    limit = max(1, min(limit, MOST_ROWS))
    with _opened(path) as connection:
        try:
            found = connection.extract_statements(statement)
            if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
                raise AdventureError("Only one SELECT statement can be run", "Send one SELECT")
            with _interrupted_after(connection, MOST_SECONDS):
                answer = connection.execute(found[0])
                columns = [{"name": name, "type": str(kind)} for name, kind, *_ in answer.description or ()]
                rows, is_complete = _bounded(answer, limit)
        except duckdb.InterruptException as error:
            raise AdventureError(
                f"The statement ran for more than {MOST_SECONDS:g} s and was stopped", "Ask for less, or aggregate"
            ) from error
        except duckdb.Error as error:
            raise AdventureError(f"DuckDB refused the statement: {error}") from error
    return {"columns": columns, "rows": rows, "is_complete": is_complete}


@contextmanager
def _opened(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the newest publication. Each publication replaces the file, so it is opened for every statement."""
    if not path.is_file():
        raise AdventureError(f"Nothing is published at {path}", "Run `adventure build` first")
    try:
        connection = duckdb.connect(str(path), read_only=True, config=_LOCKED)
    except duckdb.Error as error:
        raise AdventureError(f"{path} cannot be read: {error}", "Run `adventure build`: it replaces it") from error
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _interrupted_after(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _bounded(answer: duckdb.DuckDBPyConnection, limit: int) -> tuple[list[list[Any]], bool]:
    """Return the first rows, within MOST_TEXT, and whether these are all."""
    rows: list[list[Any]] = []
    characters = 0
    while (row := answer.fetchone()) is not None:
        values = [as_json(value) for value in row]
        characters += len(str(values))
        if len(rows) == limit or characters > MOST_TEXT:
            return rows, False
        rows.append(values)
    return rows, True


def as_json(value: Any) -> Any:
    """Return a value of DuckDB as JSON. Decimals become text, because JSON's readers make floats of numbers."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, dict):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set):
        return [as_json(each) for each in value]
    return str(value)
