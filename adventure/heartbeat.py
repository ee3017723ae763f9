"""Tells whoever watches from outside whether a loop goes on: a file with the moment by which it will beat again.

A loop that is about to be quiet says for how long, so that only one that is stuck is ever late. The moment is read from
the machine's monotonic clock, which all of its processes share and nobody sets. A health check runs this module every
few seconds: it imports nothing that takes time.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from adventure.errors import ConfigError

_AT_MOST_EVERY_SEC = 1.0


@dataclass
class _Heart:
    path: Path
    stuck_after: float
    last: float = float("-inf")


_heart: _Heart | None = None


@dataclass(frozen=True)
class Health:
    """What a heartbeat says."""

    alive: bool
    sentence: str


def begin(path: Path | None, stuck_after: float) -> None:
    """Beats from now on in that file; with None, not at all. Long-lived commands call it once.

    Args:
        stuck_after: seconds without a beat, beyond those that were announced, after which the loop counts as stuck.

    Raises:
        ConfigError: the file cannot be written.
    """
    global _heart
    _heart = _Heart(path, stuck_after) if path else None
    try:
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    except OSError as error:
        raise ConfigError(
            f"The heartbeat cannot be written to {path}: {error.strerror}", "Set HEARTBEAT_FILE to another file"
        ) from error
    beat()


def beat(*, quiet_for: float = 0.0) -> None:
    """Says that work goes on, or that nothing will for so many seconds. Cheap enough to be called for every row."""
    if _heart is None:
        return
    now = time.monotonic()
    if not quiet_for and now - _heart.last < _AT_MOST_EVERY_SEC:
        return
    _heart.last = now
    unfinished = _heart.path.with_name(f".{_heart.path.name}")
    try:
        unfinished.write_text(f"{now} {now + quiet_for + _heart.stuck_after}\n", encoding="ascii")
        unfinished.replace(_heart.path)
    except OSError:
        # A beat that cannot be written is a beat that is missed: the health check will say so.
        return


def check(path: Path) -> Health:
    """Whether the loop that beats in that file is on time."""
    try:
        last, until = map(float, path.read_text(encoding="ascii").split())
    except FileNotFoundError:
        return Health(False, f"There is no heartbeat at {path}: nothing long-lived has started there")
    except ValueError:
        return Health(False, f"{path} is no heartbeat")
    now = time.monotonic()
    if now > until:
        return Health(False, f"Stuck: the last sign of life is {now - last:.0f} s old, {now - until:.0f} s too old")
    return Health(True, f"Alive: last sign of life {now - last:.0f} s ago, the next one within {until - now:.0f} s")
