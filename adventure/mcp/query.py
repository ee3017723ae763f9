"""Run one bounded SELECT on the published data: for `adventure mcp` and `adventure query`.

The published file is replaced by the next publication and never written to, so a query neither waits for a build nor
keeps the tasks from running.

The file is opened read-only. The connection can neither reach other files, hosts and extensions nor change its
configuration. Only one statement of the type SELECT is run.
"""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb

from adventure.core.errors import AdventureError
from adventure.core.kinds import WAREHOUSES
from adventure.core.settings import Settings

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


@dataclass(frozen=True)
class Bounds:
    """Limits of one answer."""

    rows: int
    text: int | None = None
    """Characters; None for no limit."""
    seconds: float | None = None
    """How long the statement may run; None for no limit."""


def bounds_of_agent(limit: int) -> Bounds:
    """Return the limits of an answer to an agent, which asked for that many rows."""
    return Bounds(max(1, min(limit, MOST_ROWS)), MOST_TEXT, MOST_SECONDS)


def published_file(settings: Settings) -> Path:
    """Return the file that `select` reads.

    Raises:
        AdventureError: the warehouse publishes no file.
    """
    if not WAREHOUSES[settings.warehouse].publishes_file:
        raise AdventureError(
            f"WAREHOUSE={settings.warehouse} publishes no file that could be queried here",
            "Use the warehouse's own tools for queries",
        )
    return settings.published_path


def select(path: Path, statement: str, bounds: Bounds) -> dict[str, Any]:
    """Return the columns and the first rows of a SELECT.

    Args:
        path: the published file.

    Returns:
        `columns` with name and type, `rows`, and `is_complete`: False if there are more rows than were returned.

    Raises:
        AdventureError: nothing is published, or the statement is refused, fails, or takes longer than its bounds.
    """
    with _opened(path) as connection:
        try:
            found = connection.extract_statements(statement)
            if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
                raise AdventureError("Only one SELECT statement can be run", "Send one SELECT")
            with _interrupted_after(connection, bounds.seconds):
                answer = _executed(connection, found[0])
                columns = [{"name": name, "type": str(kind)} for name, kind, *_ in answer.description or ()]
                rows, is_complete = _bounded(answer, bounds)
        except duckdb.InterruptException as error:
            raise AdventureError(
                f"The statement ran for more than {bounds.seconds:g} s and was stopped", "Ask for less, or aggregate"
            ) from error
        except duckdb.Error as error:
            raise AdventureError(f"The statement failed: {_reason(error)}", _remedy(connection, error)) from error
    return {"columns": columns, "rows": rows, "is_complete": is_complete}


def _reason(error: duckdb.Error) -> str:
    """Return DuckDB's message as one line, without its class and the excerpt of the statement."""
    text = re.split(r"\n\s*\nLINE \d+:|\nLINE \d+:", str(error))[0]
    return " ".join(text.split()).partition(" Error: ")[2].rstrip(" .!") or " ".join(text.split()).rstrip(" .!")


def _remedy(connection: duckdb.DuckDBPyConnection, error: duckdb.Error) -> str:
    """Return the tables that there are, if the statement names another one."""
    if not isinstance(error, duckdb.CatalogException):
        return ""
    tables = connection.execute("select table_name from information_schema.tables order by 1").fetchall()
    return f"The published tables are: {', '.join(name for (name,) in tables)}"


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


def _executed(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> duckdb.DuckDBPyConnection:
    """Run the statement in another thread: DuckDB does not notice Ctrl-C while it computes, but this thread does."""
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(connection.execute, statement)
        try:
            return answer.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


@contextmanager
def _interrupted_after(connection: duckdb.DuckDBPyConnection, seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _bounded(answer: duckdb.DuckDBPyConnection, bounds: Bounds) -> tuple[list[list[Any]], bool]:
    """Return the first rows, within the bounds, and whether these are all."""
    rows: list[list[Any]] = []
    characters = 0
    while (row := answer.fetchone()) is not None:
        values = [as_json(value) for value in row]
        characters += len(str(values)) if bounds.text is not None else 0
        if len(rows) == bounds.rows or (bounds.text is not None and characters > bounds.text):
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
