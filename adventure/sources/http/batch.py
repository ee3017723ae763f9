"""Convert a whole page of records at once, where none of them needs a conversion of its own.

A page whose JSON is written without spaces, with numbers that a float or 64 bits hold exactly, and with plain keys and
cursors, is staged in the API's own bytes. Every other page is converted record by record (`records.py`), with the same
result.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from adventure.core.key_kinds import joined_key
from adventure.core.manifest import CURSOR_TEXT, KEY_TEXTS
from adventure.core.streams import Stream
from adventure.sources.http.records import reads_as_another_kind, value_at
from adventure.sources.iso_text import READ_ALIKE

_A_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z"
_MARK = b'"where the records were"'
_BETWEEN_RECORDS = b"},{"
_IN_UTC = re.compile(rf"{_A_TIME}(\n{_A_TIME})*")
"""The same form as `READ_ALIKE`, in UTC, once a line."""


@dataclass(frozen=True)
class Batch:
    """The keys, cursors and staged lines of records, in their order."""

    keys: Sequence[str]
    cursors: Sequence[datetime]
    lines: Sequence[bytes]


def lines_of(body: bytes, value: Any, path: str) -> list[bytes]:
    """Return the text of each record of an answer, cut from its body.

    Args:
        value: the parsed body; orjson writes the same bytes from it.
        path: of the list of records; it may be empty.
    """
    records = value_at(value, path) if path else value
    text = _list_text(body, value, path) if path else body
    if text and text.startswith(b"[{") and text.endswith(b"}]"):
        parts = text[2:-2].split(_BETWEEN_RECORDS)
        # Between two records stands exactly this. It stands nowhere else, in a text or a list, if there are no more.
        if len(parts) == len(records):
            return [b"{%b}" % part for part in parts]
    return [orjson.dumps(record) for record in records]


def batch_of(records: Sequence[Any], lines: Sequence[bytes], stream: Stream) -> Batch | None:
    """Return the records as a batch; None if a record must be rejected, shaped, or staged with texts of its own.

    Args:
        lines: the exact JSON text of each record.
    """
    if not stream.is_whole or set(map(type, records)) != {dict}:
        return None
    if any(KEY_TEXTS in record or CURSOR_TEXT in record for record in records):
        return None
    parts = [_key_texts(_members(records, name)) for name in stream.key]
    cursors = _cursors(_members(records, stream.cursor)) if stream.api.time == "iso" else None
    if cursors is None:
        return None
    texts = [part for part in parts if part is not None]
    if len(texts) < len(parts):
        return None
    keys = texts[0] if len(texts) == 1 else [joined_key(key) for key in zip(*texts, strict=True)]
    return Batch(keys, cursors, lines)


def _list_text(body: bytes, value: Any, path: str) -> bytes | None:
    """Return the part of the body that is the list of records; None if it cannot be found this way."""
    parent, _, name = path.rpartition(".")
    holder = value_at(value, parent) if parent else value
    records = holder[name]
    try:
        holder[name] = orjson.Fragment(_MARK)
        around = orjson.dumps(value)
    finally:
        holder[name] = records
    before, _, after = around.partition(_MARK)
    # A text of the answer may be equal to the mark.
    return None if _MARK in after else body[len(before) : len(body) - len(after)]


def _members(records: Sequence[dict[str, Any]], path: str) -> list[Any]:
    if "." in path:
        return [value_at(record, path) for record in records]
    return [record.get(path) for record in records]


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
    try:
        text = "\n".join(values)
        if text.count("\n") == len(values) - 1 and _IN_UTC.fullmatch(text):
            return list(map(datetime.fromisoformat, text.replace("Z", "").split("\n")))
        if not all(map(READ_ALIKE.fullmatch, values)):
            return None
        moments = map(datetime.fromisoformat, values)
        return [each.astimezone(UTC).replace(tzinfo=None) if each.tzinfo else each for each in moments]
    except (ValueError, OverflowError):
        return None
