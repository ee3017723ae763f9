"""The lateness histogram: how far below the watermark rows arrived, and the lookback that would have caught them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from adventure.destinations.common.lateness import LATENESS as BOUNDS

_LONGEST_LOOKBACK = timedelta(hours=1)
"""A later row was probably lost in another way. A longer lookback would re-read too much."""


@dataclass(frozen=True)
class Lateness:
    """Late rows of one stream, in the order of BOUNDS."""

    loaded: tuple[int, ...]
    """Rows in windows, by how far below the start of their window."""
    missing: tuple[int, ...]
    """Rows in no window, by how far below the current watermark. That is the most they can be late."""

    @classmethod
    def of(cls, loaded: Mapping[int, int], missing: Mapping[int, int]) -> "Lateness":
        """Build the histogram from row counts by the index of their bound."""
        numbers = range(len(BOUNDS))
        return cls(tuple(loaded.get(n, 0) for n in numbers), tuple(missing.get(n, 0) for n in numbers))

    @property
    def rows(self) -> int:
        """Return the number of all late rows."""
        return sum(self.loaded) + sum(self.missing)

    @property
    def lookback(self) -> timedelta:
        """Return the smallest bound that covers all rows at most an hour late; zero if there are none."""
        held = timedelta(0)
        for loaded, missing, bound in zip(self.loaded, self.missing, BOUNDS.values(), strict=True):
            if (loaded or missing) and bound <= _LONGEST_LOOKBACK:
                held = bound
        return held

    @property
    def beyond(self) -> int:
        """Return the number of rows that are too late for any lookback."""
        return sum(
            loaded + missing
            for loaded, missing, bound in zip(self.loaded, self.missing, BOUNDS.values(), strict=True)
            if bound > _LONGEST_LOOKBACK
        )
