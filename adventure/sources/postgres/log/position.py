"""How far a stream was read from which slot: a part of its watermark's position."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from adventure.core.watermark import Watermark

_TEXT = re.compile(r"\blog=([a-z0-9_]+)/(\d+)/(\S*) parts=(\S*)")


@dataclass(frozen=True)
class LogPosition:
    """How far a stream was read from which slot."""

    slot: str
    lsn: int
    """Changes that were committed before it are staged."""
    stamp: str
    """See `LogAccess.stamps`."""
    parts: frozenset[str]
    """See `LogAccess.parts`."""

    def to_text(self) -> str:
        """Return the text that `of` reads."""
        return f"log={self.slot}/{self.lsn}/{self.stamp} parts={','.join(sorted(self.parts))}"

    @classmethod
    def of(cls, mark: Watermark | None) -> "LogPosition | None":
        """Return the watermark's position; None if the stream was not read by the log last."""
        found = _TEXT.search(mark.position or "") if mark else None
        if not found:
            return None
        return cls(found[1], int(found[2]), found[3], frozenset(filter(None, found[4].split(","))))


def slots_of(marks: Mapping[str, Watermark]) -> set[str]:
    """Return the slots that the watermarks name."""
    return {position.slot for mark in marks.values() if (position := LogPosition.of(mark))}
