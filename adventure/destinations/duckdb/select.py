"""Run one bounded SELECT on the published file: for `adventure mcp` and `adventure query`.

The published file is replaced by the next publication and never written to, so a query neither waits for a build nor
keeps the tasks from running.

The file is opened read-only. The connection can neither reach other files, hosts and extensions nor change its
configuration. Only one statement of the type SELECT is run.
"""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from adventure.core.errors import AdventureError
from adventure.destinations.select import Bounds, Selected, bounded

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


def select(path: Path, statement: str, bounds: Bounds) -> Selected:
    """Return the columns and the first rows of a SELECT.

    Args:
        path: the published file.

    Raises:
        AdventureError: nothing is published, or the statement is refused, fails, or takes longer than its bounds.
    """
    with _opened(path) as connection:
        published_at = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC).replace(tzinfo=None)
        try:
            found = connection.extract_statements(statement)
            if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
                raise AdventureError("Only one SELECT statement can be run", "Send one SELECT")
            with _interrupted_after(connection, bounds.seconds):
                answer = _executed(connection, found[0])
                columns = [{"name": name, "type": str(kind)} for name, kind, *_ in answer.description or ()]
                rows, is_complete = bounded(answer.fetchone, bounds)
        except duckdb.InterruptException as error:
            raise AdventureError(
                f"The statement ran for more than {bounds.seconds:g} s and was stopped", "Ask for less, or aggregate"
            ) from error
        except duckdb.Error as error:
            raise AdventureError(f"The statement failed: {_reason(error)}", _remedy(connection, error)) from error
    return Selected(columns, rows, is_complete, published_at)


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
            # DuckDB ignores an interrupt that arrives while it still prepares the statement.
            while not answer.done():
                connection.interrupt()
                wait((answer,), timeout=0.05)
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
