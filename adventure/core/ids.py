"""Ids that grow with each new row, and how far a table was read by them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from adventure.core.watermark import Watermark


@dataclass(frozen=True)
class Kind:
    """A kind of ids. They are handled as whole numbers."""

    is_uuid: bool
    """Whether they are UUIDs of version 7, which begin with the time at which they were made; else numbers."""

    @classmethod
    def of_text(cls, value: str) -> "Kind":
        """Return the kind of an id that an operator gave."""
        return UUIDS if "-" in value[1:] else NUMBERS

    def text(self, value: int) -> str:
        """Return the id as the server prints it."""
        return str(UUID(int=value)) if self.is_uuid else str(value)

    def number(self, value: Any) -> int:
        """Return the id of a value or a text.

        Raises:
            ValueError: it is none.
        """
        return UUID(str(value)).int if self.is_uuid else int(value)


NUMBERS, UUIDS = Kind(is_uuid=False), Kind(is_uuid=True)


@dataclass(frozen=True)
class Sample:
    """How far ids were handed out at one moment."""

    at: datetime
    """The server's clock, naive UTC."""
    below: int
    """Ids from here on were not handed out yet."""
    holders: tuple[str, ...]
    """Virtual transactions that may hold ids below."""


@dataclass(frozen=True)
class Position:
    """How far a table was read, as its watermark keeps it."""

    below: int | None = None
    """All rows below this id were read; None before the first window."""
    samples: tuple[Sample, ...] = ()
    """What was seen beyond it."""
    parts: str | None = None
    """See `Relation.position`."""

    @classmethod
    def of(cls, mark: Watermark | None, kind: Kind) -> "Position":
        """Read the position of a watermark. One that another mode left says nothing."""
        try:
            kept = orjson.loads(mark.position or "null") if mark else None
            if not isinstance(kept, dict):
                return cls()
            samples = (
                Sample(datetime.fromisoformat(at), kind.number(below), tuple(holders))
                for at, below, holders in kept["seen"]
            )
            return cls(None if kept["below"] is None else kind.number(kept["below"]), tuple(samples), kept["parts"])
        except (ValueError, KeyError, TypeError):
            return cls()

    def to_text(self, kind: Kind) -> str:
        """Return what the watermark keeps."""
        below = kind.text(self.below) if self.below is not None else None
        seen = [(sample.at.isoformat(), kind.text(sample.below), sample.holders) for sample in self.samples]
        return orjson.dumps({"below": below, "seen": seen, "parts": self.parts}).decode()
