"""Which rows were staged already and may be met again, so that reading them again does not stage them again.

Kept in memory only: after a restart they are staged once more, and the models keep one version of each key.
"""

from collections.abc import Hashable
from datetime import datetime

_A_FEW = 10_000
"""Versions below which sorting out what may be forgotten is not worth it."""


class Deduplicator:
    """The versions of one stream's rows, by key, whose cursor lies within the lookback."""

    def __init__(self) -> None:
        self._staged: dict[Hashable, tuple[datetime, Hashable]] = {}
        self._pending: dict[Hashable, tuple[datetime, Hashable]] = {}
        self._worth_forgetting = _A_FEW

    def __len__(self) -> int:
        """Versions that are remembered."""
        return len(self._staged) + len(self._pending)

    def begin(self) -> None:
        """Forgets what an extract that was never staged brought."""
        self._pending = {}
        self._worth_forgetting = _A_FEW

    def is_new(self, key: Hashable, cursor: datetime, version: Hashable) -> bool:
        """Whether this version is neither staged nor in the extract under way, to which it then belongs."""
        known = self._pending.get(key) or self._staged.get(key)
        if known is not None and known[1] == version:
            return False
        self._pending[key] = (cursor, version)
        return True

    def cursor_of(self, key: Hashable) -> datetime | None:
        """The cursor of the version that was met last, or None when this is not remembered."""
        known = self._pending.get(key) or self._staged.get(key)
        return known[0] if known else None

    def forget(self, floor: datetime) -> None:
        """Nothing below `floor` will be read again, though the extract goes on: keeps what a first load needs small."""
        if len(self._pending) > self._worth_forgetting:
            self._pending = {key: value for key, value in self._pending.items() if value[0] >= floor}
            self._worth_forgetting = 2 * len(self._pending) + _A_FEW

    def staged(self, floor: datetime) -> None:
        """The extract under way is staged; nothing below `floor` will be read again."""
        self._staged = {key: value for key, value in (self._staged | self._pending).items() if value[0] >= floor}
        self._pending = {}
