"""Named points at every step of the flow, where a test can end the process as a power cut would: kill -9.

ADVENTURE_CRASH_AT=POINT[:OF[:N]] arms one of them: the N-th time (default: the first) that POINT is reached for OF (a
stream, a stage or a model; default: any) is the process's end. Unset, as it always is outside of tests, a point costs
one comparison. The variable is read once, at import; the process's end needs no object that is passed.
"""

import os
import signal
import sys
from dataclasses import dataclass
from enum import Enum

from adventure.core.errors import ConfigError

VARIABLE = "ADVENTURE_CRASH_AT"


class Point(Enum):
    """The points in the order of the flow: name, meaning of OF, and state after a crash there."""

    EXTRACTING = "extracting", "stream", "Half a local file: the next cycle removes it and reads its rows again."
    FILES_FINISHED = "files-finished", "stream", "Nothing is staged: the next cycle reads the rows again."
    STAGING = "staging", "stage", "A file under a name that no listing shows: the next start removes it."
    FILE_STAGED = (
        "file-staged",
        "stream",
        "A window without window.json: the next start removes it, and the next cycle reads its rows again.",
    )
    WINDOW_STAGED = (
        "window-staged",
        "stream",
        "A whole window: the next start moves the watermark to its end, unless the stream was reset. (1)",
    )
    WATERMARK_MOVED = "watermark-moved", "stream", "The window is complete: the next cycle begins at its end."
    ROWS_WRITTEN = "rows-written", "stream", "DuckDB rolls back the open transaction: the next load loads the window."
    LEDGER_WRITTEN = "ledger-written", "stream", "The same: one transaction holds rows and ledger entries."
    COMMITTED = "committed", "stream", "Rows and ledger entries are committed: the next cleanup removes the window."
    FILE_REMOVED = "file-removed", "stream", "window.json is removed last: the next cleanup removes the rest."
    MODEL_BUILT = "model-built", "model", "The models before it are new, the others old: the next run builds again."
    BUILT = "built", "", "The build is not recorded: the next run builds again, and finds no new rows."
    COPY_WRITTEN = "copy-written", "", "The dashboard keeps the old copy: the next run publishes."
    PUBLISHED = "published", "", "The dashboard has the new copy: the next run publishes it once more."

    def __init__(self, label: str, of: str, afterwards: str) -> None:
        self.label, self.of, self.afterwards = label, of, afterwards


@dataclass
class _Armed:
    point: Point
    of: str
    left: int


def reached(point: Point, of: str = "") -> None:
    """Mark a step of the flow; end the process here if this point is armed."""
    if _armed is not None and _armed.point is point and _armed.of in ("", of):
        _armed.left -= 1
        if _armed.left == 0:
            # One write, so that no line of another thread comes between the text and its end.
            sys.stderr.write(f"{VARIABLE}: ended at {point.label} of {of or 'this run'}\n")
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGKILL)


def _parse(text: str) -> _Armed | None:
    """Return what the variable arms.

    Raises:
        ConfigError: it names no point: a test that crashes nowhere would prove nothing.
    """
    if not text:
        return None
    label, _, rest = text.partition(":")
    of, _, count = rest.partition(":")
    points = {point.label: point for point in Point}
    if label not in points or (count and (not count.isdecimal() or int(count) < 1)):
        raise ConfigError(f"{VARIABLE}={text} is not POINT[:OF[:N]]", f"The points are {', '.join(points)}")
    return _Armed(points[label], of, int(count or 1))


_armed = _parse(os.environ.get(VARIABLE, ""))
