"""Waits for what another thread or process is about to do."""

import time
from collections.abc import Callable


def until(holds: Callable[[], bool]) -> None:
    """Returns once it holds; fails when it does not within a minute."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.05)
