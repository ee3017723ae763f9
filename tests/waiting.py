"""Wait for another thread or process."""

import time
from collections.abc import Callable


def until(holds: Callable[[], bool]) -> None:
    """Return when the condition is true; fail if it is not true within a minute."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.05)
