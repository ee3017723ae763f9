"""Draw from a distribution so that its shares hold even in small batches.

A low-discrepancy sequence (Weyl: the fractional parts of n·α, α irrational) covers [0, 1) evenly. Of any 200
consecutive orders, about 12 % come from resellers; independent draws would give 8 to 16 %. Each property has its own
α, so that the properties stay independent.
"""

import math
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate

Choice = tuple[Sequence[int], list[float]]
"""Values, and their cumulative shares."""


class EvenSequence:
    """The low-discrepancy sequence of one property, from its draw number `start` on."""

    def __init__(self, prime: int, start: int) -> None:
        self._step = math.sqrt(prime) % 1
        self._n = start

    def draw(self) -> float:
        """Return the next value in [0, 1)."""
        self._n += 1
        return self._n * self._step % 1


def weighted(values: Sequence[int], weights: Sequence[float]) -> Choice:
    """Return the values with their cumulative shares, for `pick`."""
    total = sum(weights)
    return values, list(accumulate(weight / total for weight in weights))


def pick(choice: Choice, at: float) -> int:
    """Return the value whose share of [0, 1) contains `at`."""
    values, shares = choice
    return values[min(bisect(shares, at), len(values) - 1)]
