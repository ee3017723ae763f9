"""Show from outside whether a loop still runs: a file with the time by which the loop will beat again.

A loop that is about to pause writes for how long, so only a stuck loop is ever late. Times come from the machine's
monotonic clock, which all of its processes share and nobody sets. The dashboard also reads the processor's file, by the
file's own time, which still holds after a restart of the machine.

The file holds when the loop beat last, when it counts as stuck, and when it will go on; after the loop's end, `ended`.
A health check runs this module every few seconds, so it imports nothing slow.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from adventure.core.errors import ConfigError
from adventure.core.private import make_folder

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


@dataclass(frozen=True)
class Heartbeat:
    """The last beat of a loop. Times are naive UTC."""

    seen_at: datetime
    next_by: datetime
    """When it meant to go on."""
    stuck_at: datetime
    """When it counts as stuck."""
    has_ended: bool
    """The loop was stopped, or had nothing more to do."""


def begin(path: Path | None, stuck_after: float) -> None:
    """Set the file in which the loop beats; with None it beats nowhere. Long-lived commands call it once.

    The first beat writes the file, not this call: another process may already do that work and beat there.

    Args:
        stuck_after: seconds without a beat after which the loop counts as stuck, on top of an announced pause.

    Raises:
        ConfigError: no file can be written there.
    """
    from tempfile import TemporaryFile

    global _heart
    _heart = _Heart(path, stuck_after) if path else None
    try:
        if path:
            make_folder(path.parent)
            TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise ConfigError(
            f"The heartbeat cannot be written to {path}: {error.strerror}", "Set HEARTBEAT_FILE to another file"
        ) from error


def beat(*, quiet_for: float = 0.0) -> None:
    """Write that work goes on, or pauses for so many seconds. Cheap enough to call for every row."""
    if _heart is None:
        return
    now = time.monotonic()
    if not quiet_for and now - _heart.last < _AT_MOST_EVERY_SEC:
        return
    _heart.last = now
    _write(_heart, f"{now} {now + quiet_for + _heart.stuck_after} {now + quiet_for}")


def end() -> None:
    """Write that the loop has ended, if it ever beat."""
    if _heart is not None and _heart.last != float("-inf"):
        now = time.monotonic()
        _write(_heart, f"{now} {now} ended")


def _write(heart: _Heart, line: str) -> None:
    unfinished = heart.path.with_name(f".{heart.path.name}")
    try:
        unfinished.write_text(f"{line}\n", encoding="ascii")
        unfinished.replace(heart.path)
    except OSError:
        # The health check reports a beat that is missing.
        return


def read(path: Path) -> Heartbeat | None:
    """Return the last beat in that file; None if there is no file, or it is no heartbeat."""
    try:
        last, stuck, going_on = path.read_text(encoding="ascii").split()
        seen_at = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None)
        ended = going_on == "ended"
        next_by = seen_at if ended else seen_at + timedelta(seconds=float(going_on) - float(last))
        return Heartbeat(seen_at, next_by, seen_at + timedelta(seconds=float(stuck) - float(last)), ended)
    except (OSError, ValueError, OverflowError):
        return None


def check(path: Path) -> Health:
    """Return whether the loop that beats in that file is on time."""
    try:
        last, until, *rest = path.read_text(encoding="ascii").split()
        said_at, stuck_at = float(last), float(until)
    except FileNotFoundError:
        return Health(False, f"There is no heartbeat at {path}: nothing long-lived has started there")
    except ValueError:
        return Health(False, f"{path} is no heartbeat")
    now = time.monotonic()
    age = f"{now - said_at:.0f} s"
    if rest == ["ended"]:
        return Health(False, f"Ended {age} ago: it was told to stop, or had nothing more to do")
    if now > stuck_at:
        return Health(False, f"Stuck: the last sign of life is {age} old, {now - stuck_at:.0f} s too old")
    return Health(True, f"Alive: last sign of life {age} ago, the next one within {stuck_at - now:.0f} s")
