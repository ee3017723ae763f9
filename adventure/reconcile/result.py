"""What a comparison found: how many rows differ in which way, and examples of each."""

from dataclasses import dataclass
from datetime import datetime

from adventure.core.spans import Span
from adventure.core.streams import Stream

VERDICTS = {
    "missing": "at the source, not in the warehouse",
    "stale": "the warehouse holds an older version",
    "changed": "the same version on both sides, with other values",
    "deleted": "in the warehouse, deleted at the source",
    "behind": "the source's version is older than the warehouse's version or deletion",
    "unusable": "at the source without a usable cursor, so no window contains it",
}
"""The ways in which a row can differ."""


@dataclass(frozen=True)
class Example:
    """One row that differs. Cursors are naive UTC; None on a side that does not have the row."""

    key: str
    source: datetime | None
    held: datetime | None


@dataclass(frozen=True)
class Suspect:
    """A key with a verdict."""

    key: tuple[str, ...]
    """The text of each key column at the source."""
    parts: tuple[str, ...] | None
    """The same columns as the raw table prints them; None if it does not have the key."""
    held: int | None
    """The cursor in the warehouse."""


@dataclass(frozen=True)
class Difference:
    """All rows with one verdict."""

    rows: int
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Result:
    """The result of a comparison."""

    stream: Stream
    span: Span | None
    """The compared span; None if neither side has a row below the watermark."""
    rows: int
    """Rows of the source in the span."""
    verdicts: dict[str, Difference]
    """By verdict. Those in VERDICTS are differences; `rejected` and `in flight` are not."""

    @property
    def differs(self) -> bool:
        """Return whether source and warehouse differ."""
        return any(self.count(verdict) for verdict in VERDICTS)

    def count(self, verdict: str) -> int:
        """Return the number of rows with that verdict."""
        return self.verdicts[verdict].rows if verdict in self.verdicts else 0
