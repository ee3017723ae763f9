"""Which staged files to load and which windows to remove: two queries over the ledger, the same in every warehouse.

Each warehouse brings `staged_files` into a relation of that name and runs the queries as they are.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from adventure.stage.manifest import Window


class StagedRow(NamedTuple):
    """A row of the relation `staged_files`."""

    stage: str
    window_id: str
    file: str | None
    row_count: int | None


FILES_TO_LOAD = Path(__file__).with_name("files_to_load.sql").read_text(encoding="utf-8")
"""-> (window_id, file)"""

WINDOWS_TO_REMOVE = Path(__file__).with_name("windows_to_remove.sql").read_text(encoding="utf-8")
"""-> (window_id)"""


def staged_files(windows: Iterable[Window]) -> list[StagedRow]:
    """What the windows promise, one row a file; a window without files has one row that says so."""
    return [
        row
        for window in windows
        for row in (
            [StagedRow(window.stage, window.id, file.name, file.rows) for file in window.all_files]
            or [StagedRow(window.stage, window.id, None, None)]
        )
    ]
