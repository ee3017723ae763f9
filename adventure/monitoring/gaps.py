"""What a watermark says was read, and neither the stage nor the warehouse's ledger holds.

Each window covers `[low, high)` of its stream. Together the windows that are staged or loaded must cover everything
below the watermark. What they do not cover was lost with a stage, or with a warehouse that an older copy replaced.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from adventure.core.manifest import Window
from adventure.core.watermark import Watermark

Span = tuple[datetime | None, datetime]
"""From `low`, or from the beginning, up to below `high`."""


@dataclass(frozen=True)
class Gap:
    """A span of the cursor whose rows were read and are nowhere."""

    low: datetime | None
    """None for the beginning."""
    high: datetime

    def __str__(self) -> str:
        return f"the rows {f'from {self.low} ' if self.low else ''}up to {self.high}"


def find_gaps(mark: Watermark, staged: Iterable[Window], loaded: Sequence[Span]) -> list[Gap]:
    """Return what lies below the watermark in no window, lowest first.

    Args:
        staged: the windows of the stage; they are listed before `loaded` is read, since windows move that way.
        loaded: what the ledger holds of the stream.
    """
    reached = mark.read_from or datetime.min
    gaps = []
    spans = [(low or datetime.min, high) for low, high in (*((w.low, w.high) for w in staged), *loaded)]
    for low, high in sorted([*spans, (mark.value, mark.value)]):
        if low > reached and reached < mark.value:
            gaps.append(Gap(reached if reached > datetime.min else None, min(low, mark.value)))
        reached = max(reached, high)
    return gaps
