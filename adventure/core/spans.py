"""Where two sides differ: hashes of pieces of the cursor's range, and of smaller pieces where they are not equal.

Cursors are microseconds since 1970: whole numbers, so that every cursor lies in exactly one piece.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

FIRST_PIECES = 1024
"""The whole range is read once; so many sums of each side are compared."""

PIECES = 64
"""A piece that differs is divided again into so many."""

FEW = 20_000
"""Up to this many rows, keys are listed instead of hashed again."""

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Digest:
    """A hash of all rows of a piece: equal digests mean equal rows."""

    rows: int = 0
    hash: int = 0
    """The sum of the rows' hashes, which does not depend on their order."""


@dataclass(frozen=True)
class Span:
    """Cursors in `[low, high)`, in microseconds."""

    low: int
    high: int


@dataclass(frozen=True)
class Pieces:
    """A span divided into pieces of equal width; the last one may reach beyond it, where nothing is read."""

    span: Span
    width: int

    @classmethod
    def of(cls, span: Span, count: int) -> "Pieces":
        """Divide the span into at most `count` pieces."""
        return cls(span, -(-(span.high - span.low) // count))

    @property
    def bounds(self) -> list[int]:
        """Where each piece begins."""
        return list(range(self.span.low, self.span.high, self.width))

    def __getitem__(self, number: int) -> Span:
        low = self.span.low + number * self.width
        return Span(low, min(low + self.width, self.span.high))


class Side(Protocol):
    """One side of the comparison: it holds each key once, with the cursor of its latest version."""

    def digests(self, pieces: Pieces) -> dict[int, Digest]:
        """By piece; one without rows may be left out."""


def differing(one: Side, other: Side, span: Span) -> Iterator[Span]:
    """Yield spans that hold every difference between the two sides, each of few rows or of one microsecond.

    The sides hash at the same time, the other one on a thread.
    """
    undecided = [Pieces.of(span, FIRST_PIECES)] if span.low < span.high else []
    with ThreadPoolExecutor(1, "digests") as beside:
        while undecided:
            pieces = undecided.pop()
            pending = beside.submit(other.digests, pieces)
            ours, theirs = one.digests(pieces), pending.result()
            for number in sorted(ours.keys() | theirs.keys()):
                mine, yours = ours.get(number, Digest()), theirs.get(number, Digest())
                if mine == yours:
                    continue
                if max(mine.rows, yours.rows) <= FEW or pieces.width == 1:
                    yield pieces[number]
                else:
                    undecided.append(Pieces.of(pieces[number], PIECES))


def joined(spans: Iterator[Span]) -> Iterator[Span]:
    """Join neighbouring spans, so that fewer queries are needed."""
    held: Span | None = None
    for span in spans:
        if held and held.high == span.low:
            held = Span(held.low, span.high)
            continue
        if held:
            yield held
        held = span
    if held:
        yield held


def micros(moment: datetime) -> int:
    """Microseconds since 1970 of a naive UTC timestamp."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(micros: int) -> datetime:
    """The naive UTC timestamp of microseconds since 1970."""
    return _EPOCH + micros * _MICROSECOND
