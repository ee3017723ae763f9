"""Show what the next cycle would read, for `adventure process --plan`. Nothing is staged, and no watermark moves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from adventure.core.console import console, table
from adventure.core.errors import AdventureError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.factory import open_probe
from adventure.processor.state import read_watermarks


@dataclass(frozen=True)
class Preview:
    """What the next cycle would read of one stream."""

    stream: str
    mode: str
    """How it was read last; for a stream that was never read, the mode of pipeline.toml. Where the source chooses the
    mode, how the next cycle reads it."""
    watermark: datetime | None
    rows: int | None
    """Rows that it would read; of a snapshot, the rows that it would compare. None if they cannot be counted."""
    problem: str = ""
    """Why the stream cannot be read."""


def preview(settings: Settings, streams: Sequence[Stream]) -> list[Preview]:
    """Count the rows at the sources that no window has read.

    Raises:
        SourceError: the state database does not answer.
    """
    marks = read_watermarks(settings)
    return [_preview(settings, stream, marks.get(stream.name)) for stream in streams]


def print_previews(previews: Sequence[Preview]) -> None:
    """Print a table of them."""
    made = table("The next cycle", left=("stream", "mode", "from"), right=("rows",))
    for each in previews:
        start = each.watermark.isoformat(" ") if each.watermark else "the beginning"
        made.add_row(each.stream, each.mode, start, "-" if each.rows is None else f"{each.rows:,}")
    console().print(made)
    for each in previews:
        if each.problem:
            console().print(f"{each.stream}: {each.problem}", markup=False)


def _preview(settings: Settings, stream: Stream, mark: Watermark | None) -> Preview:
    mode = mark.mode if mark else stream.mode or "first window"
    value = mark.value if mark else None
    try:
        with open_probe(stream.opens, settings) as probe:
            counts = probe.counts(stream, mark)
    except AdventureError as error:
        return Preview(stream.name, mode, value, None, str(error))
    if stream.is_auto:
        mode, stream = counts.mode, stream.as_read(counts.mode)
    rows = counts.rows if stream.is_snapshot or mark is None else None if stream.is_log else counts.in_flight
    return Preview(stream.name, mode, value, rows)
