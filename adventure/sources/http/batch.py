"""Convert a whole page of records at once, where none of them needs a conversion of its own.

A page whose JSON is written without spaces, with numbers that a float or 64 bits hold exactly, and with plain keys and
cursors, is staged in the API's own bytes. Every other page is converted record by record (`records.py`), with the same
result.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import compress, repeat
from operator import contains, itemgetter
from typing import Any

from adventure.core.key_kinds import joined_key
from adventure.core.manifest import CURSOR_TEXT, KEY_TEXTS
from adventure.core.streams import Stream
from adventure.sources.http.records import reads_as_another_kind, value_at
from adventure.sources.iso_text import READ_ALIKE

_SAME_DIGIT = bytes.maketrans(b"0123456789", b"0" * 10)


@dataclass(frozen=True)
class Batch:
    """Records by column, in their order."""

    keys: Sequence[str]
    cursors: Sequence[datetime]
    versions: Sequence[int]
    """A hash of each line."""
    lines: Sequence[bytes]
    """The staged lines."""

    def where(self, kept: Sequence[bool]) -> "Batch":
        """Return the records for which `kept` is true."""
        return Batch(
            list(compress(self.keys, kept)),
            list(compress(self.cursors, kept)),
            list(compress(self.versions, kept)),
            list(compress(self.lines, kept)),
        )


def batch_of(records: Sequence[Any], lines: Sequence[bytes], stream: Stream) -> Batch | None:
    """Return the records as a batch; None if a record must be rejected, shaped, or staged with texts of its own.

    Args:
        lines: the exact JSON text of each record.
    """
    if not stream.is_whole or set(map(type, records)) != {dict}:
        return None
    if any(any(map(contains, records, repeat(ours))) for ours in (KEY_TEXTS, CURSOR_TEXT)):
        return None
    parts = [_key_texts(_members(records, name)) for name in stream.key]
    cursors = _cursors(_members(records, stream.cursor)) if stream.api.time == "iso" else None
    if cursors is None:
        return None
    texts = [part for part in parts if part is not None]
    if len(texts) < len(parts):
        return None
    keys = texts[0] if len(texts) == 1 else [joined_key(key) for key in zip(*texts, strict=True)]
    return Batch(keys, cursors, list(map(hash, lines)), lines)


def _members(records: Sequence[dict[str, Any]], path: str) -> list[Any]:
    if "." not in path:
        # Without a loop of Python's own, which takes three times as long.
        with suppress(KeyError):
            return list(map(itemgetter(path), records))
    return [value_at(record, path) for record in records]


def _key_texts(values: list[Any]) -> list[str] | None:
    """Return the texts of one member of the key; None if one is missing, or SQL would read another text from it."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return list(map(str, values))
    return None if kinds != {str} or any(map(reads_as_another_kind, values)) else values


def _cursors(values: list[Any]) -> list[datetime] | None:
    """Return the cursors as naive UTC; None if one is not in the form that every reader reads alike."""
    if set(map(type, values)) != {str}:
        return None
    text = "\n".join(values)
    # A page has few shapes, so that few texts are compared with the pattern.
    shapes = [shape.decode() for shape in set(text.encode().translate(_SAME_DIGIT).split(b"\n"))]
    if text.count("\n") != len(values) - 1 or not all(map(READ_ALIKE.fullmatch, shapes)):
        return None
    try:
        if all(shape.endswith("Z") for shape in shapes):
            return list(map(datetime.fromisoformat, text.replace("Z", "").split("\n")))
        moments = map(datetime.fromisoformat, values)
        return [each.astimezone(UTC).replace(tzinfo=None) if each.tzinfo else each for each in moments]
    except (ValueError, OverflowError):
        return None
