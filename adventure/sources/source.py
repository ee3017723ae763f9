"""The seam: what a cycle needs of a source database.

A source makes a *snapshot*: one moment, the horizon, below which all of its streams are read.
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


@dataclass(frozen=True)
class Extract:
    """The rows of one stream that a snapshot gave and that were not staged before, in finished local files."""

    files: "tuple[LocalFile, ...]"
    rejects: "LocalFile | None"
    columns: tuple[Column, ...]
    last_cursor: datetime | None
    """The largest cursor value read below the horizon, in the stream's zone; None when no row has one."""
    notes: dict[str, str] = field(default_factory=dict)
    deletes: "LocalFile | None" = None
    """Rows that are gone at the source, as `Window.deletes` says."""
    mode: str | None = None
    """How this stream was read, where that is not as the snapshot says."""
    position: str | None = None
    """Where the source reads on once this is staged; see `Window.position`."""
    more: bool = False
    """There is more below the snapshot: one window would be too large."""
    ordered: bool = False
    """Its rows may hold later versions of rows with the same cursor: its window is loaded after those before it."""

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
        """Rows set aside."""
        return self.rejects.rows if self.rejects else 0


class SourceSnapshot(Protocol):
    """One moment of a source. Streams read from one snapshot are consistent with each other where the source can."""

    horizon: datetime
    """Rows with a cursor below it may be read; naive UTC, from the source's clock."""
    mode: str
    """`horizon`, `change stream`, or `lookback` with the reason."""
    tick: timedelta
    """The cursor's resolution: the smallest step above a value that was read."""
    unreadable: dict[str, SourceError]
    """Streams, by name, that cannot be read, and why; the others can."""

    def origin(self, stream: Stream) -> Origin:
        """Return which database the stream is read from.

        Raises:
            SourceError: the source failed.
        """

    def end(self, stream: Stream) -> datetime:
        """The horizon of this stream: in its zone, and at the end of a whole unit of its cursor."""

    def extract(self, stream: Stream, folder: Path) -> Extract:
        """Writes the rows from the stream's watermark, less the lookback, up to the horizon into files under `folder`.

        Raises:
            SourceError: the source failed.
            StageUnwritable: `folder` takes no more.
        """

    def goes_on_after(self, error: AdventureError) -> bool:
        """Undo what a failed extract left behind; return whether the other streams can be read from this snapshot."""

    def extract_keys(self, stream: Stream, keys: Sequence[tuple[str, ...]], below: datetime, folder: Path) -> Extract:
        """Writes the rows with these keys whose cursor is below that moment, whether they were staged before or not.

        Args:
            keys: the text of each key column, as the source prints it.

        Raises:
            SourceError: the source failed.
            StageUnwritable: `folder` takes no more.
        """


class Source(Protocol):
    """One source database, with its connection."""

    @property
    def margin(self) -> timedelta:
        """How far the horizon of its snapshots stays below the clock: younger rows are in the next one."""

    def open_snapshot(
        self, streams: Sequence[Stream], marks: Mapping[str, Watermark]
    ) -> AbstractContextManager[SourceSnapshot]:
        """Opens a snapshot for these streams, which stand at these watermarks; one that was never read has none.

        Raises:
            SourceError: the source does not answer, or refuses.
        """

    def mark_staged(self, stream: Stream, floor: datetime) -> None:
        """The last extract of the stream is staged: its rows from `floor` on need not be staged again."""

    def close(self) -> None:
        """Ends the connection."""
