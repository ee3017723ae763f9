"""Find rows that a watermark says were read, but that neither the stage nor the warehouse's ledger has.

Each window covers `[low, high)` of its stream. Together the staged and loaded windows must cover everything below the
watermark. A gap means that a stage was lost, or that the warehouse was replaced by an older copy.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from adventure.core.manifest import Window
from adventure.core.watermark import Watermark

Span = tuple[datetime | None, datetime]
"""`[low, high)`; None means from the beginning."""


@dataclass(frozen=True)
class Gap:
    """A span of the cursor whose rows were read and then lost."""

    low: datetime | None
    """None for the beginning."""
    high: datetime

    def __str__(self) -> str:
        return f"the rows {f'from {self.low} ' if self.low else ''}up to {self.high}"


def find_gaps(mark: Watermark, staged: Iterable[Window], loaded: Sequence[Span]) -> list[Gap]:
    """Return the spans below the watermark that no window covers, lowest first.

    Args:
        staged: the windows of the stage. List them before reading `loaded`, because windows move in that direction.
        loaded: the spans of the stream in the ledger.
    """
    reached = mark.read_from or datetime.min
    gaps = []
    spans = [(low or datetime.min, high) for low, high in (*((w.low, w.high) for w in staged), *loaded)]
    for low, high in sorted([*spans, (mark.value, mark.value)]):
        if low > reached and reached < mark.value:
            gaps.append(Gap(reached if reached > datetime.min else None, min(low, mark.value)))
        reached = max(reached, high)
    return gaps
