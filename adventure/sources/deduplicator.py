"""Remember which rows were staged, so that a row that is read a second time is not staged a second time.

The versions are in memory only. After a restart, rows within the lookback are staged once more; the models keep one
version of each key.
"""

from collections.abc import Hashable, Iterable
from datetime import datetime
from typing import TypeVar

_A_FEW = 10_000
"""Below this number of versions, `forget` does nothing: the memory is not worth the time."""


Row = TypeVar("Row")


class Deduplicator:
    """The row versions of one stream, by key, whose cursor lies within the lookback."""

    def __init__(self) -> None:
        self._staged: dict[Hashable, tuple[datetime, Hashable]] = {}
        self._pending: dict[Hashable, tuple[datetime, Hashable]] = {}
        self._worth_forgetting = _A_FEW

    def __len__(self) -> int:
        """Return the number of versions in memory."""
        return len(self._staged) + len(self._pending)

    def begin(self) -> None:
        """Start an extract; drop the versions of an earlier one that was never staged."""
        self._pending = {}
        self._worth_forgetting = _A_FEW

    def is_new(self, key: Hashable, cursor: datetime, version: Hashable) -> bool:
        """Return True, and add the version to the current extract, unless it is staged or in the extract already."""
        known = self._pending.get(key) or self._staged.get(key)
        if known is not None and known[1] == version:
            return False
        self._pending[key] = (cursor, version)
        return True

    def new_rows(self, rows: Iterable[tuple[Hashable, datetime, Hashable, Row]]) -> list[Row]:
        """Return the rows that are new, of rows with key, cursor and version; see `is_new`."""
        return [row for key, cursor, version, row in rows if self.is_new(key, cursor, version)]

    def cursor_of(self, key: Hashable) -> datetime | None:
        """Return the cursor of the version that was read last; None if that version is not in memory."""
        known = self._pending.get(key) or self._staged.get(key)
        return known[0] if known else None

    def forget(self, floor: datetime) -> None:
        """Drop versions of the current extract with a cursor below `floor`, to bound memory during a first load."""
        if len(self._pending) > self._worth_forgetting:
            self._pending = {key: value for key, value in self._pending.items() if value[0] >= floor}
            self._worth_forgetting = 2 * len(self._pending) + _A_FEW

    def staged(self, floor: datetime) -> None:
        """Mark the current extract as staged; drop versions below `floor`, which will not be read again."""
        self._staged = {key: value for key, value in (self._staged | self._pending).items() if value[0] >= floor}
        self._pending = {}
