"""Convert the JSON of an answer to staged lines, without any loss.

Numbers keep all of their digits. A record that cannot be staged exactly raises CannotConvert.

| key | text |
|---|---|
| text | itself; as a JSON string if it would read as one of the kinds below |
| number | as the API writes it |
| boolean | `true`, `false` |
"""

import base64
import json
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import accumulate, count
from operator import add
from typing import Any

import orjson

from adventure.core.files import Reject
from adventure.core.key_kinds import joined_key
from adventure.core.manifest import CURSOR_TEXT, KEY_TEXTS
from adventure.core.streams import Stream
from adventure.sources.fields import shaped
from adventure.sources.iso_text import READ_ALIKE

_EPOCH = datetime(1970, 1, 1)
_UNITS = {"seconds": 1_000_000, "milliseconds": 1_000}
_DIGITS = 18
"""Integers with at most so many digits fit 64 bits."""
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")

_MARK = secrets.token_hex(16).encode()
"""Stands for the records in the text of an answer. No answer contains it, because nobody knows it."""


class CannotConvert(Exception):
    """Why a record is rejected."""


class Number(str):
    """A number as the API writes it, where an int of 64 bits or a float might not hold it exactly."""

    __slots__ = ()


class _Repeated(dict[str, Any]):
    """An object that has the same member twice. Only the last of them is known."""


def parse(body: bytes, path: str) -> tuple[Any, list[bytes] | None]:
    """Return the value of a JSON text, with every digit of its numbers, and the text of each record.

    Args:
        path: of the list of records; it may be empty.

    Returns:
        The value, and the records' texts as they stand in the body; None if orjson writes other texts.

    Raises:
        ValueError: it is not JSON, or not UTF-8.
        RecursionError: it is nested too deeply.
    """
    # orjson is fast but rounds numbers and drops repeated members. It lost nothing if it writes the same bytes again.
    with suppress(orjson.JSONDecodeError, orjson.JSONEncodeError):
        value = orjson.loads(body)
        if (lines := _exact_lines(body, value, path)) is not None:
            return value, lines
    return _DECODER.decode(body.decode("utf-8-sig")), None


def _exact_lines(body: bytes, value: Any, path: str) -> list[bytes] | None:
    """Return each record as orjson writes it; None if the whole answer is not written as it stands in the body."""
    records = value_at(value, path) if path else value
    if not isinstance(records, list):
        return None
    # The records are written once: the rest of the answer is written around a mark in their place.
    lines, around = list(map(orjson.dumps, records)), _MARK
    if path:
        parent, _, name = path.rpartition(".")
        holder = value_at(value, parent) if parent else value
        holder[name] = orjson.Fragment(_MARK)
        try:
            around = orjson.dumps(value)
        finally:
            holder[name] = records
    head, _, tail = around.partition(_MARK)
    return lines if _is_written(body, head + b"[", lines, b"]" + tail) else None


def _is_written(body: bytes, head: bytes, lines: list[bytes], tail: bytes) -> bool:
    """Return whether the body, which is JSON, is the head, the lines and the tail; this copies nothing."""
    if not body.startswith(head):
        return False
    # Where each line begins, and where another would. In JSON, the one byte between two lines can only be a comma.
    starts = list(map(add, accumulate(map(len, lines), initial=len(head)), count()))
    return all(map(body.startswith, lines, starts)) and body[starts[-1] - bool(lines) :] == tail


def value_at(record: Any, path: str) -> Any:
    """Return the value at a path such as `meta.updated_at`, or None if there is none."""
    for name in path.split("."):
        if not isinstance(record, dict):
            return None
        record = record.get(name)
    return record


def record_cursor(record: Any, stream: Stream) -> datetime:
    """Return the record's cursor as naive UTC. Text without an offset is UTC.

    Raises:
        CannotConvert: the record is no object, or its cursor does not have the form that the stream names.
    """
    if not isinstance(record, dict):
        raise CannotConvert("it is no JSON object")
    value = value_at(record, stream.cursor)
    form = stream.api.time
    try:
        if form == "iso" and isinstance(value, str) and not isinstance(value, Number):
            moment = datetime.fromisoformat(value)
            return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
        if form != "iso" and isinstance(value, int | float | Number) and not isinstance(value, bool):
            return _EPOCH + timedelta(microseconds=int(Decimal(_digits(value)) * _UNITS[form] // 1))
    except (ValueError, ArithmeticError) as error:
        raise CannotConvert(f"its cursor {stream.cursor} is no time: {str(value)[:50]!r}") from error
    wanted = "ISO-8601 text" if form == "iso" else f"a number of {form}"
    raise CannotConvert(f"its cursor {stream.cursor} is missing, or not {wanted}")


def record_key(record: Any, stream: Stream) -> str:
    """Return the text of the record's key.

    Raises:
        CannotConvert: a part of it is missing or null, an object or a list.
    """
    return joined_key([_key_text(record, name) for name in stream.key])


def record_line(record: dict[str, Any], stream: Stream, cursor: datetime) -> bytes:
    """Return the staged line: the record's JSON, with key and cursor as text where SQL would misread them.

    Raises:
        CannotConvert: JSON cannot hold it, or it has a member with a name that we add.
    """
    for member in (KEY_TEXTS, CURSOR_TEXT):
        if member in record:
            raise CannotConvert(f"it has a member {member}, which Adventure uses")
    ours: dict[str, Any] = {}
    if texts := _key_texts_to_keep(record, stream.key):
        ours[KEY_TEXTS] = texts
    if not _reads_alike(value_at(record, stream.cursor)):
        ours[CURSOR_TEXT] = cursor.isoformat(timespec="microseconds") + "Z"
    if type(record) is not dict:
        raise CannotConvert("an object in it has the same member twice")
    if not stream.is_whole:
        _dump(record)  # shaping would hide a repeated member
        record = shaped(record, stream, _text)
    return _dump(record | ours if ours else record)


def reject_of(record: Any, stream: Stream, reason: str) -> Reject:
    """Return the entry of a rejected record.

    Its row is JSON, or base64 of it where SQL would read another cursor from it: a comparison then takes the row for
    rejected in any version.
    """
    try:
        key = ",".join(_key_text(record, name) for name in stream.key)
    except CannotConvert:
        key = "unknown"
    try:
        row = record if stream.is_whole else shaped(record, stream, _text) if isinstance(record, dict) else None
        text = json.dumps(row, default=str, ensure_ascii=True)
    except (ValueError, RecursionError, CannotConvert):
        text = "null"
    # A key may hold half of a character, which no UTF-8 can.
    key = key.encode(errors="backslashreplace").decode()
    value = value_at(record, stream.cursor)
    if value is not None and not _reads_alike(value):
        text = base64.b64encode(text.encode()).decode()
    return Reject(key, reason, text)


def _key_text(record: Any, name: str) -> str:
    value = value_at(record, name)
    if value is None:
        raise CannotConvert(f"its key {name} is missing or null")
    if isinstance(value, dict | list):
        raise CannotConvert(f"its key {name} is an object or a list")
    return _text(value)


def _text(value: Any) -> str:
    """Return the text of a key's part, or of a value that is hashed."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | Number):
        return _digits(value)
    if not isinstance(value, str):
        return _dump(value).decode()
    return json.dumps(value, ensure_ascii=False) if reads_as_another_kind(value) else value


def _digits(number: int | float | Number) -> str:
    """Return a number as the API writes it."""
    return orjson.dumps(number).decode() if isinstance(number, float) else str(number)


def _key_texts_to_keep(record: dict[str, Any], names: Sequence[str]) -> dict[str, str]:
    """Return, by name, the texts of the key fields for which SQL would read another text from the record."""
    found = {}
    for name in names:
        value = value_at(record, name)
        if isinstance(value, float | Number) or (isinstance(value, str) and reads_as_another_kind(value)):
            found[name] = _key_text(record, name)
    return found


def reads_as_another_kind(text: str) -> bool:
    """Return whether SQL reads this text of a key as a number, a boolean or a JSON value."""
    return bool(text[:1] in ('"', "{", "[") or text in ("true", "false") or _NUMBER.fullmatch(text))


def _reads_alike(cursor: Any) -> bool:
    return type(cursor) is str and READ_ALIKE.fullmatch(cursor) is not None


def _dump(record: Any) -> bytes:
    try:
        return orjson.dumps(record, default=_exact, option=orjson.OPT_PASSTHROUGH_SUBCLASS)
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise CannotConvert(f"it cannot be written as JSON: {error.__cause__ or error}") from error


def _exact(value: Any) -> Any:
    if isinstance(value, Number):
        return orjson.Fragment(value.encode())
    raise CannotConvert("an object in it has the same member twice")


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    return found if len(found) == len(members) else _Repeated(found)


def _integer(text: str) -> int | Number:
    return int(text) if len(text) <= _DIGITS else Number(text)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=Number, parse_int=_integer, parse_constant=_no_number
)
