"""Keep what is active and what is still to be sent in a file, so that a restart sends nothing again."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from adventure.core.json_file import replace_json
from adventure.core.private import make_folder
from adventure.monitoring.alerts.changes import Active
from adventure.monitoring.health.problem import Problem


@dataclass(frozen=True)
class Message:
    """One message to one URL."""

    to: str
    """The digest of the URL, which may hold a password."""
    level: str
    """`error`, `warning`, or `ended`."""
    title: str
    body: str
    at: datetime
    """Naive UTC."""


@dataclass(frozen=True)
class Memory:
    """What the alerts remember from one look to the next."""

    active: tuple[Active, ...] = ()
    unsent: tuple[Message, ...] = ()


def write_memory(path: Path, memory: Memory) -> None:
    """Replace the file.

    Raises:
        OSError: it cannot be written.
    """
    make_folder(path.parent)
    replace_json(path, asdict(memory))


def read_memory(path: Path) -> Memory:
    """Return what is in that file; nothing if there is no file, or it is not one of these files."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Memory(tuple(map(_active, found["active"])), tuple(map(_message, found["unsent"])))
    except (OSError, ValueError, TypeError, KeyError):
        return Memory()


def _active(found: dict[str, Any]) -> Active:
    problem = Problem(**{**found["problem"], "streams": tuple(found["problem"]["streams"])})
    began_at, seen_at = (datetime.fromisoformat(found[name]) for name in ("began_at", "seen_at"))
    return Active(problem, began_at, seen_at, found["is_announced"])


def _message(found: dict[str, Any]) -> Message:
    return Message(**{**found, "at": datetime.fromisoformat(found["at"])})
