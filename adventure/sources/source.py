"""Interface that every source database implements for a cycle.

A source opens a snapshot; every stream in it is read up to the same timestamp, the horizon.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from adventure.core.errors import AdventureError, SourceError
from adventure.core.manifest import Column
from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark

if TYPE_CHECKING:
    from adventure.core.files import LocalFile


NOT_BEGUN: Mapping[str, str] = {}


@dataclass(frozen=True)
class Extract:
    """The rows of one stream that were read from a snapshot and not staged before, in finished local files."""

    files: "tuple[LocalFile, ...]"
    rejects: "LocalFile | None"
    columns: tuple[Column, ...]
    last_cursor: datetime | None
    """The largest cursor value read below the horizon, in the stream's zone; None when no row has one."""
    notes: dict[str, str] = field(default_factory=dict)
    deletes: "LocalFile | None" = None
    """Rows that were deleted at the source; see `Window.deletes`."""
    mode: str | None = None
    """How this stream was read, where that differs from the snapshot's mode."""
    position: str | None = None
    """Where the source continues once this is staged; see `Window.position`."""
    more: bool = False
    """True if the extract hit its size limit and more rows remain below the horizon. Also if it has read none yet, so
    that its position is saved first."""
    ordered: bool = False
    """True if its rows may be later versions of rows with the same cursor. The window is then loaded in order."""

    @property
    def all_files(self) -> "tuple[LocalFile, ...]":
        """Data files, rejects and deletes; none when there is nothing new."""
        return (*self.files, *filter(None, (self.rejects, self.deletes)))

    @property
    def rows(self) -> int:
        """Rows in the data files."""
        return sum(file.rows for file in self.files)

    @property
    def rejected(self) -> int:
        """Rows that were rejected."""
        return self.rejects.rows if self.rejects else 0


class SourceSnapshot(Protocol):
    """A snapshot of a source. Its streams are consistent with each other where the source supports it."""

    horizon: datetime
    """Rows with a cursor below it may be read; naive UTC, from the source's clock."""
    mode: str
    """`horizon`, `change stream`, or `lookback` with the reason."""
    tick: timedelta
    """The cursor's resolution: the smallest step above a value."""
    unreadable: dict[str, SourceError]
    """Streams, by name, that cannot be read, and why. The other streams can be read."""

    def origin(self, stream: Stream) -> Origin:
        """Return which database the stream is read from.

        Raises:
            SourceError: the source failed.
        """

    def end(self, stream: Stream) -> datetime:
        """Return the horizon of this stream, in the stream's zone and at the end of a whole unit of its cursor."""

    def extract(self, stream: Stream, folder: Path) -> Extract:
        """Write the rows from the stream's watermark, less the lookback, up to the horizon into files under `folder`.

        Raises:
            SourceError: the source failed.
            StageUnwritable: no file can be written to `folder`.
        """

    def goes_on_after(self, error: AdventureError) -> bool:
        """Undo what a failed extract left behind; return whether the other streams can be read from this snapshot."""

    def extract_keys(self, stream: Stream, keys: Sequence[tuple[str, ...]], below: datetime, folder: Path) -> Extract:
        """Write the rows with these keys and a cursor before `below`, including rows that were staged before.

        Args:
            keys: the text of each key column, as the source prints it.

        Raises:
            SourceError: the source failed.
            StageUnwritable: no file can be written to `folder`.
        """


class Source(Protocol):
    """One source database, with its connection."""

    @property
    def margin(self) -> timedelta:
        """How far the horizon of a snapshot stays below the clock. Younger rows are in the next snapshot."""

    def open_snapshot(
        self, streams: Sequence[Stream], marks: Mapping[str, Watermark], begun: Mapping[str, str] = NOT_BEGUN
    ) -> AbstractContextManager[SourceSnapshot]:
        """Open a snapshot for these streams.

        Args:
            marks: watermarks by stream name; a stream that was never read has none.
            begun: for streams without a watermark, the position of an extract without files.

        Raises:
            SourceError: the source does not answer, or refuses.
        """

    def mark_staged(self, stream: Stream, floor: datetime) -> None:
        """Acknowledge that the stream's last extract was staged; skip its rows from `floor` on in the next overlap."""

    def release(self, marks: Mapping[str, Watermark]) -> list[str]:
        """Remove what the server keeps for streams that are not read any more; return a sentence for each.

        Args:
            marks: the watermarks of all streams that are still read.

        Raises:
            SourceError: the source failed.
        """

    def close(self) -> None:
        """Close the connection."""
