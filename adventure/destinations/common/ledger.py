"""What the ledger decides: which files are to be loaded, and which windows may be removed.

Plain functions over what the ledger holds and what a window promises, the same for every warehouse.
"""

from collections.abc import Mapping
from datetime import timedelta

from adventure.core.manifest import StagedFile, Window

LATENESS = {
    "up to 1 s": timedelta(seconds=1),
    "up to 10 s": timedelta(seconds=10),
    "up to 1 min": timedelta(minutes=1),
    "up to 10 min": timedelta(minutes=10),
    "up to 1 h": timedelta(hours=1),
    "up to 1 day": timedelta(days=1),
    "longer": timedelta.max,
}
"""The classes of the lateness histogram: by how much a row landed below the watermark."""

WITHOUT_CURSOR = -(2**63 - 1)
"""Stands for the cursor of a rejected row that has none, where comparisons expect microseconds since 1970."""

Ledger = Mapping[tuple[str, str], int]
"""Rows loaded, by window id and file name."""


def files_to_load(window: Window, ledger: Ledger) -> tuple[StagedFile, ...]:
    """The window's files that the ledger does not hold; a file is loaded once, whatever its name held before."""
    return tuple(file for file in window.all_files if (window.id, file.name) not in ledger)


def is_loaded(window: Window, ledger: Ledger) -> bool:
    """Whether the ledger holds every file of the window with the row count that `window.json` promised."""
    return all(ledger.get((window.id, file.name)) == file.rows for file in window.all_files)


def lateness_bounds() -> list[int]:
    """The classes' ends in microseconds; the last class holds the rest."""
    return [bound // timedelta(microseconds=1) for bound in list(LATENESS.values())[:-1]]
