"""Decode a BSON document element by element, for values that the driver decodes with loss. Slow, and rarely needed.

Sizes and layouts are those of bsonspec.org, version 1.1.
"""

import struct
from typing import Any

import bson
from bson.codec_options import CodecOptions


class CannotConvert(Exception):
    """Why a document cannot be converted exactly. Internal: such a document is rejected."""


_DOCUMENT, _ARRAY, _UNDEFINED, _REGEX, _POINTER, _SYMBOL, _SCOPED = 0x03, 0x04, 0x06, 0x0B, 0x0C, 0x0E, 0x0F
_FIXED = {0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0x7F: 0, 0xFF: 0}
_BEFORE_LENGTH = {0x02: 4, 0x03: 0, 0x04: 0, 0x05: 5, 0x0C: 16, 0x0D: 4, 0x0E: 4, 0x0F: 0}
"""For element types with a length: the number of bytes that the length does not count."""


def walk(document: bytes, options: CodecOptions[dict[str, Any]]) -> dict[str, Any]:
    """Return the document as Python values, with symbols, undefined and pointers in extended JSON.

    Raises:
        CannotConvert: a key is duplicate, or a value has no exact form.
        UnicodeDecodeError: text is not UTF-8.
    """
    found: dict[str, Any] = {}
    for name, kind, value in _elements(document):
        if name in found:
            raise CannotConvert(f"it holds the key {name[:50]!r} twice")
        found[name] = _value(name, kind, value, options)
    return found


def _elements(document: bytes) -> list[tuple[str, int, bytes]]:
    """Return name, type and bytes of each element. The layout is valid, since the driver has decoded the document."""
    elements, at = [], 4
    while at < len(document) - 1:
        kind, end = document[at], document.index(0, at + 1)
        name, begin = document[at + 1 : end].decode(), end + 1
        if kind in _FIXED:
            at = begin + _FIXED[kind]
        elif kind == _REGEX:
            at = document.index(0, document.index(0, begin) + 1) + 1
        elif kind in _BEFORE_LENGTH:
            at = begin + struct.unpack_from("<i", document, begin)[0] + _BEFORE_LENGTH[kind]
        else:
            raise CannotConvert(f"its {name[:50]!r} is of the unknown type {kind:#04x}")
        elements.append((name, kind, document[begin:at]))
    return elements


def _value(name: str, kind: int, value: bytes, options: CodecOptions[dict[str, Any]]) -> Any:
    if kind == _DOCUMENT:
        return walk(value, options)
    if kind == _ARRAY:
        # The keys of an array are its indexes, which the order of the elements implies.
        return [_value(key, each_kind, each, options) for key, each_kind, each in _elements(value)]
    if kind == _UNDEFINED:
        return {"$undefined": True}
    if kind == _SYMBOL:
        return {"$symbol": value[4:-1].decode()}
    if kind == _POINTER:
        return {"$dbPointer": {"$ref": value[4:-13].decode(), "$id": {"$oid": value[-12:].hex()}}}
    if kind == _REGEX:
        pattern, flags = value[:-1].split(b"\0")
        return {"$regularExpression": {"pattern": pattern.decode(), "options": "".join(sorted(flags.decode()))}}
    alone = struct.pack("<i", len(value) + 7) + bytes([kind, 0]) + value + b"\0"
    decoded = bson.decode(alone, options)
    if bson.encode(decoded) != alone:
        raise CannotConvert(f"its {name[:50]!r} cannot be decoded exactly")
    return decoded[""]
