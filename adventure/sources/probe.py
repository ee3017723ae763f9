"""Interface through which `status` and `check` ask a source. Its short statements do not hold the horizon back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark
from adventure.sources.proposal import Proposal, Unmovable


@dataclass(frozen=True)
class SourceCounts:
    """Rows of a stream at its source."""

    rows: int
    """All rows, including those with a key or cursor that no window can hold."""
    in_flight: int
    """Those of `rows` that no window has read yet. The next window stages or rejects them."""
    mode: str = ""
    """How the next window would read them, where the source chooses that; else empty."""


@dataclass(frozen=True)
class Unread:
    """The row at the source that has waited longest for its window."""

    cursor: datetime
    """Naive UTC."""
    lag: timedelta = timedelta(0)
    """How long after its cursor the row may have been written, where cursors are coarse."""


@dataclass(frozen=True)
class Stall:
    """A horizon that does not move, and the session that holds it back."""

    age: timedelta
    blocker: str
    """A description of the session, for a sentence."""
    remedy: str


@dataclass(frozen=True)
class KeptLog:
    """The log that a server keeps until the pipeline reads it."""

    slot: str
    bytes: int
    safe_bytes: int | None
    """How much may still be written before the server removes unread log; None if it never does."""


@dataclass(frozen=True)
class Finding:
    """What `adventure doctor` found about one part of the pipeline."""

    level: Literal["ok", "warning", "error"]
    part: str
    found: str
    fix: str = ""
    """What to do; empty if all is well."""


class Probe(Protocol):
    """A connection to a source. A stream's watermark is None before its first window."""

    def counts(self, stream: Stream, mark: Watermark | None) -> SourceCounts:
        """Count the stream's rows.

        Raises:
            SourceError: the source failed, refuses, or does not match the stream's description.
        """

    def unread(self, stream: Stream, mark: Watermark | None) -> Unread | None:
        """Return the row with the lowest cursor at or above the watermark; None when there is none.

        Raises:
            SourceError: the source failed, refuses, or does not match the stream's description.
        """

    def stall(self, older_than: timedelta) -> Stall | None:
        """Return the horizon if it is older than `older_than`, else None. A source without a horizon returns None.

        Raises:
            SourceError: the source failed.
        """

    def kept_log(self) -> KeptLog | None:
        """Return how much log the server keeps for the pipeline; None if it keeps none.

        Raises:
            SourceError: the source failed.
        """

    def examine(self, streams: Sequence[Stream]) -> Iterator[Finding]:
        """Yield what speaks for and against reading these streams. An error of one stream is a finding, too.

        Raises:
            SourceError: the source failed.
        """

    def propose(self) -> Iterator[Proposal | Unmovable]:
        """Yield how to read each table, or why it cannot be read.

        Raises:
            SourceError: the source failed.
        """

    def origin(self, stream: Stream) -> Origin:
        """Return which database the stream would be read from now.

        Raises:
            SourceError: the source failed.
        """
