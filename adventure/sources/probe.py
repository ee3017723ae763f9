"""Interface of what `status` and `check` ask of a source, in short statements that hold nothing back."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark


@dataclass(frozen=True)
class SourceCounts:
    """Rows of a stream at its source."""

    rows: int
    """All rows, also those whose key or cursor no window can bring."""
    in_flight: int
    """Those that no window has read yet: the next one brings them, or rejects them."""


@dataclass(frozen=True)
class Unread:
    """The row at the source that waits for its window longest."""

    cursor: datetime
    """Naive UTC."""
    lag: timedelta = timedelta(0)
    """The row may have been written that much after its cursor, where cursors are coarse."""


@dataclass(frozen=True)
class Stall:
    """The horizon of a source, and what keeps it from moving."""

    age: timedelta
    blocker: str
    """The session, as a sentence names it."""
    remedy: str


class Probe(Protocol):
    """A connection to a source. A stream's watermark is None before its first window."""

    def counts(self, stream: Stream, mark: Watermark | None) -> SourceCounts:
        """Count the stream's rows.

        Raises:
            SourceError: the source failed, refuses, or is not what the stream says.
        """

    def unread(self, stream: Stream, mark: Watermark | None) -> Unread | None:
        """Return the row with the lowest cursor at or above the watermark; None when there is none.

        Raises:
            SourceError: the source failed, refuses, or is not what the stream says.
        """

    def stall(self, older_than: timedelta) -> Stall | None:
        """Return the horizon, if it is older than that; None also where the source has no horizon.

        Raises:
            SourceError: the source failed.
        """

    def origin(self, stream: Stream) -> Origin:
        """Return which database the stream would be read from now.

        Raises:
            SourceError: the source failed.
        """
