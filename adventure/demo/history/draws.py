"""Draw the values that `random.Random` draws, several times as fast.

The history takes millions of draws. `Random.choice`, `randrange` and `choices` check their arguments at each of them.
"""

import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeVar

T = TypeVar("T")


def below(rng: random.Random) -> Callable[[int], int]:
    """Return a function that draws like `rng.randrange(limit)`."""
    getrandbits = rng.getrandbits

    def draw(limit: int) -> int:
        bits = limit.bit_length()
        drawn = getrandbits(bits)
        while drawn >= limit:
            drawn = getrandbits(bits)
        return drawn

    return draw


def weighted(rng: random.Random, values: Sequence[T], weights: Sequence[float]) -> Callable[[], T]:
    """Return a function that draws like `rng.choices(values, weights)[0]`."""
    bounds, next_float = list(accumulate(weights)), rng.random
    total, last = bounds[-1], len(bounds) - 1
    return lambda: values[bisect_right(bounds, next_float() * total, 0, last)]
