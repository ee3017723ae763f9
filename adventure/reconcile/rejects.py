"""List rejected rows for `adventure rejects`: which column was the reason, and how each row comes back."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adventure.core.clock import when
from adventure.core.console import console, plain, table
from adventure.core.errors import WarehouseBusy
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.results import RejectedRow
from adventure.factory import open_report, open_warehouse

RETRY_FOR_SEC = 1.0
"""Seconds to wait for the warehouse. A build holds DuckDB's file all the time; then the published rows are read."""

_PUBLISHED = 'select stream, key, reason, "ROW", file, loaded_at from rejected_rows order by loaded_at desc, key'

_OF_DOCUMENT = re.compile(
    r"(?:its|it holds the|it has a) (?:key |cursor |member )?(?:'(.+?)'|([\w.$-]+?))(?:,| is | cannot | twice)"
)
_UNNAMED_CURSOR = "its cursor is "
_OF_TABLE = re.compile(r"(?:its cursor )?(.+?)(?:, of its key,)? is ")


@dataclass(frozen=True)
class Rejects:
    """The rejected rows of some streams."""

    streams: tuple[Stream, ...]
    rows: tuple[RejectedRow, ...]
    """Newest first."""
    published_at: datetime | None = None
    """When these rows were published, in naive UTC; None if they were read in the warehouse now."""

    @property
    def missing(self) -> tuple[RejectedRow, ...]:
        """Return the rows that did not come back."""
        return tuple(row for row in self.rows if not row.has_returned)


def read_rejects(settings: Settings, streams: tuple[Stream, ...]) -> Rejects:
    """Return the latest rejection of each row of these streams.

    Raises:
        WarehouseBusy: another command has the warehouse, and nothing was published yet.
        WarehouseError: the warehouse cannot be read.
    """
    try:
        warehouse = open_warehouse(settings, retry_for=RETRY_FOR_SEC)
        with warehouse.reading():
            rows = [row for stream in streams for row in warehouse.rejected_rows(stream)]
    except WarehouseBusy:
        return _published(settings, streams)
    return Rejects(streams, tuple(sorted(rows, key=lambda row: row.rejected_at, reverse=True)))


def _published(settings: Settings, streams: tuple[Stream, ...]) -> Rejects:
    """Return the newest rejected rows as they were published last."""
    report = open_report(settings)
    published_at = report.published_at()
    if published_at is None:
        raise WarehouseBusy("Another command has the warehouse, and nothing is published yet", "Run the command again")
    names = {stream.name for stream in streams}
    rows = tuple(RejectedRow(*(*row, None)) for row in report.rows(_PUBLISHED) if row[0] in names)
    return Rejects(streams, rows, published_at)


def columns_of(row: RejectedRow, stream: Stream) -> list[str]:
    """Return the columns or fields that the reason names; none if it is about the whole row."""
    if stream.documents:
        if row.reason.startswith(_UNNAMED_CURSOR):
            return [stream.cursor]
        found = _OF_DOCUMENT.match(row.reason)
        return [found[1] or found[2]] if found else []
    return list(dict.fromkeys(found[1] for part in row.reason.split("; ") if (found := _OF_TABLE.match(part))))


def remedy(stream: Stream) -> str:
    """Return how the stream's rejected rows come back."""
    types = "" if stream.documents else f", or the types of {stream.name} in pipeline.toml"
    return (
        f"Fix the rows at the source{types}. A row whose cursor changes comes with the next window; for the others run"
        f" `adventure reconcile {stream.name} --repair`, then `adventure tasks run load_{stream.name}`"
    )


def print_rejects(found: Rejects, *, limit: int, returned: bool) -> None:
    """Print one line for each rejected row, then how the rows of each stream come back.

    Args:
        limit: rows to print.
        returned: print the rows that came back, too.
    """
    of_name = {stream.name: stream for stream in found.streams}
    chosen = found.rows if returned else found.missing
    title = "Rejected rows" if len(chosen) <= limit else f"Rejected rows: the newest {limit:,} of {len(chosen):,}"
    rows = table(title, left=("stream", "key", "column", "reason", "rejected (UTC)", *(["came back"] * returned)))
    for row in chosen[:limit]:
        cells = [
            row.stream,
            row.key or "-",
            ", ".join(columns_of(row, of_name[row.stream])) or "-",
            row.reason,
            f"{row.rejected_at:%Y-%m-%d %H:%M:%S}",
        ]
        rows.add_row(*map(plain, cells), *([_SHOWN[row.has_returned]] * returned))
    if chosen:
        console().print(rows)
    else:
        console().print("No rows are rejected", style="green")
    if found.published_at:
        console().print(
            f"Another command has the warehouse. These rows are as of {found.published_at:%H:%M:%S} UTC, and some may"
            " have come back since",
            style="yellow",
        )
    for name in dict.fromkeys(row.stream for row in found.missing):
        console().print(f"{name}: {remedy(of_name[name])}.", markup=False)


_SHOWN = {True: "yes", False: "no", None: "unknown"}


def rejects_object(found: Rejects, *, limit: int, returned: bool) -> dict[str, Any]:
    """Return the object of `adventure rejects --json`."""
    of_name = {stream.name: stream for stream in found.streams}
    chosen = found.rows if returned else found.missing
    return {
        "published_at": when(found.published_at),
        "rows": len(chosen),
        "rejects": [
            {
                "stream": row.stream,
                "key": row.key,
                "columns": columns_of(row, of_name[row.stream]),
                "reason": row.reason,
                "row": row.row,
                "file": row.file,
                "rejected_at": when(row.rejected_at),
                "has_returned": row.has_returned,
                "fix": remedy(of_name[row.stream]) if not row.has_returned else None,
            }
            for row in chosen[:limit]
        ],
    }
