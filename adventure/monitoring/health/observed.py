"""Keep what the sources show in a file, for the dashboard, which reaches no database.

The task server writes it, and `status` takes from it what it cannot read while a build has the warehouse.
"""

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from adventure.core.json_file import replace_json
from adventure.monitoring.health.state import Fault, KeptLog, Lost, Observed, ObservedStream, SourceState, Stall


def write_observed(path: Path, observed: Observed) -> None:
    """Replace the file. A folder that cannot be written is no error here: the tasks report that."""
    try:
        replace_json(path, asdict(observed))
    except OSError:
        return


def read_observed(path: Path) -> Observed | None:
    """Return what is in that file; None if there is no file, or it is not one of these files."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Observed(
            at=datetime.fromisoformat(found["at"]),
            sources=tuple(_source(each) for each in found["sources"]),
            streams=tuple(_stream(each) for each in found["streams"]),
            watermarks=_fault(found["watermarks"]),
            warehouse=_fault(found["warehouse"]),
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _source(found: dict[str, Any]) -> SourceState:
    stall = found["stall"]
    return SourceState(
        found["source"],
        tuple(found["streams"]),
        _fault(found["fault"]),
        Stall(datetime.fromisoformat(stall["since"]), stall["blocker"], stall["remedy"]) if stall else None,
        KeptLog(**kept) if (kept := found.get("kept")) else None,
        found.get("kind", ""),
    )


def _stream(found: dict[str, Any]) -> ObservedStream:
    lost = found["lost"]
    return ObservedStream(
        stream=found["stream"],
        watermark=_time(found["watermark"]),
        mode=found["mode"],
        staged=found["staged"],
        unread_since=_time(found["unread_since"]),
        unread_lag_sec=found["unread_lag_sec"],
        refused=_fault(found["refused"]),
        mismatch=_fault(found["mismatch"]),
        lost=Lost(datetime.fromisoformat(lost["watermark"]), lost["rows"], _time(lost["since"])) if lost else None,
    )


def _fault(found: dict[str, str] | None) -> Fault | None:
    return Fault(found["problem"], found["remedy"]) if found else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
