"""Wait for another thread or process."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(holds: Callable[[], Found]) -> Found:
    """Return what is found when it is true; fail if it is not true within a minute."""
    deadline = time.monotonic() + 60
    while not (found := holds()):
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.05)
    return found
