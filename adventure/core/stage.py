"""Interface of a stage, which holds the files between the processor and the warehouse.

There are two implementations: a local folder (DuckDB) and Snowflake's internal stages. A stage holds windows. A window
is a folder of files; its `window.json` is put there last.
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
    md5: str = ""
    """In hexadecimal digits; empty if it was not asked for."""


class Stage(Protocol):
    """Interface that the processor and the commands use. The argument `stage` is a stage's name."""

    def identity(self, *, create: bool = False) -> str:
        """Return this stage's unique identity; empty if it has none yet.

        Args:
            create: create an identity if there is none. Only the processor sets it.

        Raises:
            StageUnwritable: the identity cannot be created.
        """

    def check_writable(self, stage: str) -> None:
        """Raise StageUnwritable if no file can be put there; leave nothing behind."""

    def put(self, stage: str, window_id: str, file: Path) -> None:
        """Put a complete local file into a window under its own name, atomically. The file is durable on return."""

    def commit(self, window: Window) -> None:
        """Put `window.json`. From then on the window exists. It is durable on return; see `announce`."""

    def announce(self, stage: str) -> bool:
        """Make sure that the loader sees the stage's windows; return False if that must wait until a later call.

        Until the call the loader may miss committed windows. One call covers all of them, so it ends a cycle.

        Raises:
            StageUnwritable: the stage does not answer, or refuses.
        """

    def secure(self, window: Window) -> None:
        """Make a window durable whose writer was stopped in `commit`: it is visible, but a power cut may remove it."""

    def windows(self, stage: str) -> list[Window]:
        """Return the windows, oldest first, except those whose `window.json` is damaged."""

    def window_ids(self, stage: str) -> set[str]:
        """Return the ids of the windows that exist, also of those whose `window.json` is damaged."""

    def damaged(self, stage: str) -> list[StageDamaged]:
        """Return one error for each `window.json` that cannot be used; `windows` omits these."""

    def discard_unfinished(self, stage: str) -> int:
        """Remove the files of windows without `window.json`; return the number of windows.

        Files that the processor never puts stay. Only the processor that holds the stream's lock may call it.
        """

    def entries(self, stage: str, *, md5: bool = False) -> list[StageEntry]:
        """Return every file, including `window.json`, sorted by path.

        Args:
            md5: with the MD5 of each file, for which a folder reads all of them.
        """

    def remove(self, window: Window) -> int:
        """Remove exactly the window's files, then its `window.json`; return the number of files.

        Files that it does not list stay. A file that was already deleted is no error.
        """

    def discard(self, stage: str, window_id: str) -> int:
        """Remove one window, even if its `window.json` is damaged; return the number of files.

        Files that the processor never puts stay.
        """


def damaged_windows(stage: Stage, stream: Stream) -> list[StageDamaged]:
    """Return the stream's damaged windows, each with the commands that fix it."""
    return [damaged(stream, error.problem, error.window_id) for error in stage.damaged(stream.stage)]


def stage_again(stream: Stream, window_id: str) -> str:
    """Return the commands that stage a damaged window's rows again and then remove the window."""
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
