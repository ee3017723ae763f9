"""A published DuckDB file, opened once for all questions to it.

It is replaced whole by each publication, so a question is answered by the old one or the new one. Opening it takes
longer than most questions: it stays open until a question finds it replaced.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import duckdb
import pandas as pd

from adventure.core.errors import WarehouseError
from adventure.destinations.published import Identity

# By path: which publication is open. DuckDB gives connections of one process that overlap the same open file, so the
# old one is closed before the new one is opened; hence one question at a time.
_open: dict[Path, tuple[Identity, duckdb.DuckDBPyConnection]] = {}
_ONE_AT_A_TIME = Lock()


@dataclass(frozen=True)
class DuckDBCopy:
    """See `Copy`."""

    path: Path
    remedy: str
    """What replaces a damaged one."""
    is_metered = False

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    def identity(self) -> Identity | None:
        """What changes with each publication; None when there is none yet."""
        try:
            facts = self.path.stat()
        except FileNotFoundError:
            return None
        return facts.st_ino, facts.st_mtime_ns

    def published_at(self) -> datetime | None:
        """When it was written."""
        try:
            return datetime.fromtimestamp(self.path.stat().st_mtime, tz=UTC).replace(tzinfo=None)
        except FileNotFoundError:
            return None

    def query(self, statement: str, values: Sequence[object] = ()) -> pd.DataFrame:
        """See `Query`.

        Raises:
            WarehouseError: the file is damaged, or made by another version of Adventure.
        """
        try:
            with _ONE_AT_A_TIME:
                answer: Any = self._connection().sql(statement, params=list(values)).to_arrow_table()
                frame: pd.DataFrame = answer.to_pandas()
                return frame.rename(columns=str.lower)
        except duckdb.Error as error:
            reason = (str(error).splitlines() or ["no reason given"])[0]
            raise WarehouseError(f"{self.path.name} cannot be read: {reason}", self.remedy) from error

    def _connection(self) -> duckdb.DuckDBPyConnection:
        """To the newest publication."""
        newest = self.identity()
        known = _open.get(self.path)
        if known and known[0] == newest:
            return known[1]
        if known:
            del _open[self.path]
            known[1].close()
        connection = duckdb.connect(str(self.path), read_only=True)
        connection.execute("set timezone = 'UTC'")
        # What was opened may be newer still than what was seen: then the next question opens it again.
        if newest is not None:
            _open[self.path] = newest, connection
        return connection
