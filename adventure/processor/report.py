"""The result of a cycle, and its lines in the log."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from adventure.core.errors import AdventureError
from adventure.core.log import get_logger
from adventure.core.manifest import Window

log = get_logger()


@dataclass(frozen=True)
class StreamReport:
    """The result of one cycle for one stream."""

    stream: str
    window: Window | None
    """None when there was nothing new."""
    rows_staged: int
    rows_rejected: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class CycleReport:
    """The result of one cycle, in the order of the streams."""

    streams: tuple[StreamReport, ...]
    failures: Mapping[str, AdventureError]
    """Why a stream has no window, by its name. Streams of one source may share an error."""
    horizons: Mapping[str, datetime] = field(default_factory=dict)
    """The horizon of each source, by `Stream.source`."""
    refused: Collection[str] = ()
    """Failed streams whose source works. Nothing of them was staged."""


def log_window(window: Window, report: StreamReport) -> None:
    """Log what was staged, and what the operator should know of it."""
    since = f"since {window.low}" if window.low else "in the first window"
    deleted = f", {window.deletes.rows:,} deleted," if window.deletes else ""
    log.info(f"{window.stream}: {window.rows:,} new rows{deleted} {since}", stream=window.stream, rows=window.rows)
    names = ", ".join(f"{window.stage}/{window.id}/{file.name}" for file in window.files or window.all_files)
    log.info(
        f"{window.stream}: staged {names} ({report.bytes / 1e3:,.0f} kB, {report.seconds:.2f} s, up to {window.high})",
        stream=window.stream,
        window=window.id,
        bytes=report.bytes,
        seconds=round(report.seconds, 3),
    )
    for note, text in window.notes.items():
        log.warning(f"{window.stream}: {note}: {text}", stream=window.stream)
    if window.rejected:
        log.warning(
            f"{window.stream}: rejected {window.rejected:,} rows that cannot be converted exactly; see"
            " raw_ext.rejected_rows after the next load",
            stream=window.stream,
            rejected=window.rejected,
        )
