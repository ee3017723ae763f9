"""Show from outside why a running processor cannot read a stream: a file beside its heartbeat.

The heartbeat shows that the processor runs, and this file whether it works. `adventure status`, `adventure health` and
the Pipeline page read it. A health check runs this module every few seconds, so it imports nothing slow.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from adventure.core.clock import utc_now, when
from adventure.core.errors import AdventureError
from adventure.core.json_file import replace_json


@dataclass(frozen=True)
class Failure:
    """One error that the processor retries, and the streams that it stops."""

    streams: tuple[str, ...]
    since: datetime
    """When the first of these streams failed, naive UTC."""
    problem: str
    remedy: str


def beside(heartbeat: Path) -> Path:
    """Return the path of the failures of the processor with that heartbeat."""
    return heartbeat.with_name(f"{heartbeat.name}.failures")


class FailureFile:
    """The failures of the last cycle, written when they change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._since: dict[str, datetime] = {}
        self._written: tuple[Failure, ...] | None = None

    def report(self, errors: Mapping[str, AdventureError]) -> None:
        """Replace the failures by these, by stream. A stream that failed before keeps its time."""
        self._since = {stream: self._since.get(stream, utc_now()) for stream in errors}
        streams: dict[tuple[str, str], list[str]] = {}
        for stream, error in errors.items():
            streams.setdefault((error.problem, error.remedy), []).append(stream)
        failures = tuple(
            Failure(tuple(names), min(self._since[name] for name in names), problem, remedy)
            for (problem, remedy), names in streams.items()
        )
        if failures != self._written:
            self._written = failures if _write(self._path, failures) else None


def read(path: Path) -> tuple[Failure, ...]:
    """Return the failures in that file; none if there is no file, or it is not one of these files."""
    try:
        return tuple(
            Failure(
                tuple(map(str, entry["streams"])),
                datetime.fromisoformat(entry["since"]).astimezone(UTC).replace(tzinfo=None),
                str(entry["problem"]),
                str(entry["remedy"]),
            )
            for entry in json.loads(path.read_text(encoding="utf-8"))
        )
    except (OSError, ValueError, TypeError, KeyError):
        return ()


def _write(path: Path, failures: tuple[Failure, ...]) -> bool:
    """Replace the file; without failures, remove it. Return whether that succeeded: the next cycle tries again."""
    entries = [
        {
            "streams": failure.streams,
            "since": when(failure.since),
            "problem": failure.problem,
            "remedy": failure.remedy,
        }
        for failure in failures
    ]
    try:
        if entries:
            replace_json(path, entries)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        return False
    return True
