"""Reads a published DuckDB file.

Each publication replaces the file, so a query reads either the old file or the new one. Opening the file takes longer
than most queries, so it stays open until a query finds that it was replaced.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import duckdb

from adventure.core.errors import WarehouseError
from adventure.destinations.published import Version

if TYPE_CHECKING:
    import pandas as pd

# The open publication by path. DuckDB shares one open file between a process's connections to the same path, so the old
# file must be closed before the new one is opened. Hence one query at a time.
_open: dict[Path, tuple[Version, duckdb.DuckDBPyConnection]] = {}
_ONE_AT_A_TIME = Lock()


def close_all() -> None:
    """Close the open publications: DuckDB opens a file only once in a process with one configuration."""
    with _ONE_AT_A_TIME:
        while _open:
            _, (_, connection) = _open.popitem()
            connection.close()


@dataclass(frozen=True)
class DuckDBDataset:
    """See `PublishedDataset`."""

    path: Path
    remedy: str
    """The command that replaces a damaged file."""
    is_metered = False

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self.path)

    def version(self) -> Version | None:
        """Return the file's inode and modification time; None while there is no file."""
        try:
            facts = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return facts.st_ino, facts.st_mtime_ns

    def published_at(self) -> datetime | None:
        """Return when the file was written, in naive UTC."""
        try:
            return datetime.fromtimestamp(self.path.stat().st_mtime, tz=UTC).replace(tzinfo=None)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def query(self, statement: str, values: Sequence[object] = ()) -> "pd.DataFrame":
        """Run a statement with values for its question marks; see `Query`.

        Raises:
            WarehouseError: the file is damaged, or was written by another version of Adventure.
        """
        with self._reading() as connection:
            answer: Any = connection.sql(statement, params=list(values)).to_arrow_table()
            frame: pd.DataFrame = answer.to_pandas()
            return frame.rename(columns=str.lower)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows, without the time that importing pandas takes."""
        with self._reading() as connection:
            return connection.execute(statement).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        try:
            with _ONE_AT_A_TIME:
                yield self._connection()
        except duckdb.Error as error:
            reason = (str(error).splitlines() or ["no reason given"])[0]
            raise WarehouseError(f"{self.path.name} cannot be read: {reason}", self.remedy) from error

    def _connection(self) -> duckdb.DuckDBPyConnection:
        """Return a connection to the newest publication."""
        newest = self.version()
        known = _open.get(self.path)
        if known and known[0] == newest:
            return known[1]
        if known:
            del _open[self.path]
            known[1].close()
        connection = duckdb.connect(str(self.path), read_only=True)
        connection.execute("set timezone = 'UTC'")
        # The opened file may be newer than the version read above. The next query then opens it again.
        if newest is not None:
            _open[self.path] = newest, connection
        return connection
