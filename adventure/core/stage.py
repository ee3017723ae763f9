"""Where staged files rest between the processor and the warehouse.

One seam, two implementations: a local folder (DuckDB) and Snowflake's internal stages. A stage holds windows; a
window is a folder of files whose `window.json` was put last. This room must not know what the files mean.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from adventure.core.errors import StageDamaged
from adventure.core.manifest import Window
from adventure.core.streams import Stream


@dataclass(frozen=True)
class StageEntry:
    """One file in a stage, as `LIST @stage` shows it."""

    path: str
    """`stage/window/file`."""
    bytes: int
    modified: datetime
    """Naive UTC."""


class Stage(Protocol):
    """What the processor and the commands need of a stage. `stage` is always a stage's name."""

    def identity(self, *, create: bool = False) -> str:
        """Return what no other stage has; empty if this one has no identity yet.

        Args:
            create: gives it one. Only the processor does.

        Raises:
            StageUnwritable: it cannot be given one.
        """

    def check_writable(self, stage: str) -> None:
        """Raises StageUnwritable when no file can be put there; leaves nothing behind."""

    def put(self, stage: str, window_id: str, file: Path) -> None:
        """Puts a finished local file into a window under its own name, whole or not at all, durable on return."""

    def commit(self, window: Window) -> None:
        """Puts `window.json`: from now on the window exists."""

    def windows(self, stage: str) -> list[Window]:
        """The windows that exist, oldest first; those whose `window.json` is damaged are left out."""

    def damaged(self, stage: str) -> list[StageDamaged]:
        """What `windows` leaves out: one error for each `window.json` that cannot be used."""

    def discard_unfinished(self, stage: str) -> int:
        """Removes what the processor left in windows without `window.json`; returns the number of windows.

        What the processor never puts stays. Only the processor that holds the stream's lock may call it.
        """

    def entries(self, stage: str) -> list[StageEntry]:
        """Every file, `window.json` included, sorted by path."""

    def remove(self, window: Window) -> int:
        """Removes exactly the window's files, then its `window.json`; returns the number of files.

        What it does not list stays. A file that is gone already is no error.
        """

    def discard(self, stage: str, window_id: str) -> int:
        """Removes one window, even if its `window.json` is damaged; returns the number of files.

        What the processor never puts stays.
        """


def damaged_windows(stage: Stage, stream: Stream) -> list[StageDamaged]:
    """Return what `Stage.damaged` finds for the stream, each with the commands that fix it."""
    return [damaged(stream, error.problem, error.window_id) for error in stage.damaged(stream.stage)]


def stage_again(stream: Stream, window_id: str) -> str:
    """Return the commands that stage the rows of a window which will not be loaded once more, and then remove it."""
    return (
        f"`adventure reconcile {stream.name} --repair --without {window_id}`, which stages its rows again, and then"
        f" `adventure stage remove {stream.name} {window_id}`"
    )


def damaged(stream: Stream, problem: str, window_id: str) -> StageDamaged:
    """Return the error for a window that cannot be loaded, with the commands that replace it.

    Args:
        window_id: empty where the whole stage cannot be read.
    """
    if not window_id:
        return StageDamaged(problem, "Check that folder and its permissions")
    remedy = f"Restore the original file; or run {stage_again(stream, window_id)}"
    return StageDamaged(problem, remedy, window_id=window_id)
