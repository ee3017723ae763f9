"""Remember which rows were staged, so that a row that is read a second time is not staged a second time.

The versions are in memory only. After a restart, rows within the lookback are staged once more; the models keep one
version of each key.
"""

from collections.abc import Hashable, Sequence
from datetime import datetime

_A_FEW = 10_000
"""Below this number of versions, `forget` does nothing: the memory is not worth the time."""


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

    def are_new(
        self, keys: Sequence[Hashable], cursors: Sequence[datetime], versions: Sequence[Hashable]
    ) -> list[bool]:
        """Return for each of many rows what `is_new` returns, and add them likewise."""
        read = dict(zip(keys, zip(cursors, versions, strict=True), strict=True))
        if len(read) == len(keys) and self._pending.keys().isdisjoint(read) and self._staged.keys().isdisjoint(read):
            # No key was read before, as in a first load: there is nothing to compare row by row.
            self._pending |= read
            return [True] * len(keys)
        return list(map(self.is_new, keys, cursors, versions))

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
