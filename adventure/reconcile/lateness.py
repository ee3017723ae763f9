"""The lateness histogram: by how much rows landed below the watermark, and the lookback that would have held them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from adventure.destinations.common.lateness import LATENESS as BOUNDS

_LONGEST_LOOKBACK = timedelta(hours=1)
"""A row that is later than this is rather lost in another way; a lookback would read too much again."""


@dataclass(frozen=True)
class Lateness:
    """Rows of one stream that came late, in the order of BOUNDS."""

    loaded: tuple[int, ...]
    """That a window brought, by how much below its beginning."""
    missing: tuple[int, ...]
    """That no window brought, by how much below the watermark as it is now: they came at most so late."""

    @classmethod
    def of(cls, loaded: Mapping[int, int], missing: Mapping[int, int]) -> "Lateness":
        """From the rows by the number of their bound."""
        numbers = range(len(BOUNDS))
        return cls(tuple(loaded.get(n, 0) for n in numbers), tuple(missing.get(n, 0) for n in numbers))

    @property
    def rows(self) -> int:
        """All of them."""
        return sum(self.loaded) + sum(self.missing)

    @property
    def lookback(self) -> timedelta:
        """The smallest bound that holds all rows that came at most an hour late; zero when none did."""
        held = timedelta(0)
        for loaded, missing, bound in zip(self.loaded, self.missing, BOUNDS.values(), strict=True):
            if (loaded or missing) and bound <= _LONGEST_LOOKBACK:
                held = bound
        return held

    @property
    def beyond(self) -> int:
        """Rows that no lookback is meant for."""
        return sum(
            loaded + missing
            for loaded, missing, bound in zip(self.loaded, self.missing, BOUNDS.values(), strict=True)
            if bound > _LONGEST_LOOKBACK
        )
