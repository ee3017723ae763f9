"""The seam: what a cycle needs of a source database.

A source makes a *cut*: one moment, the horizon, below which all of its streams are read.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from adventure.errors import SourceError
from adventure.processor.files import LocalFile
from adventure.processor.state import Watermark
from adventure.stage.manifest import Column
from adventure.streams import Stream


@dataclass(frozen=True)
class Extract:
    """The rows of one stream that a cut gave and that were not staged before, in finished local files."""

    files: tuple[LocalFile, ...]
    rejects: LocalFile | None
    columns: tuple[Column, ...]
    last_cursor: datetime | None
    """The largest cursor value read, naive UTC; None when nothing was read."""
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def all_files(self) -> tuple[LocalFile, ...]:
        """Data files and rejects."""
        return (*self.files, self.rejects) if self.rejects else self.files

    @property
    def rows(self) -> int:
        """Rows in the data files."""
        return sum(file.rows for file in self.files)

    @property
    def rejected(self) -> int:
        """Rows set aside."""
        return self.rejects.rows if self.rejects else 0


class Cut(Protocol):
    """A moment of a source. Streams that are read from one cut are consistent with each other where the source can."""

    horizon: datetime
    """Rows with a cursor below it may be read; naive UTC, from the source's clock."""
    mode: str
    """`horizon`, or `lookback` with the reason."""
    tick: timedelta
    """The cursor's resolution: the smallest step above a value that was read."""
    unfit: dict[str, SourceError]
    """Streams, by name, that cannot be read, and why; the others can."""

    def extract(self, stream: Stream, folder: Path) -> Extract:
        """Writes the rows from the stream's watermark, less the lookback, up to the horizon into files under `folder`.

        Raises:
            SourceError: the source failed.
            StageUnwritable: `folder` takes no more.
        """


class Source(Protocol):
    """One source database, with its connection."""

    def cut(self, streams: Sequence[Stream], marks: Mapping[str, Watermark]) -> AbstractContextManager[Cut]:
        """Opens a cut for these streams, which stand at these watermarks; one that was never read has none.

        Raises:
            SourceError: the source does not answer, or refuses.
        """

    def remember(self, stream: Stream, floor: datetime) -> None:
        """The last extract of the stream is staged: its rows from `floor` on need not be staged again."""

    def close(self) -> None:
        """Ends the connection."""
