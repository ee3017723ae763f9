"""Messages of a binary COPY, written as PostgreSQL documents them, without any of its code."""

import struct
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
END = struct.pack("!h", -1)

_EPOCH = datetime(2000, 1, 1)
_SIGNS = {"n": 0xC000, "F": 0xD000}


def row(fields: Sequence[bytes | None]) -> bytes:
    """Return the message of a row; None is NULL."""
    parts = [struct.pack("!i", -1) if each is None else struct.pack("!i", len(each)) + each for each in fields]
    return struct.pack("!h", len(fields)) + b"".join(parts)


def numeric(value: Decimal) -> bytes:
    """Return a numeric's bytes: its digits to the base 10,000."""
    sign, digits, exponent = value.as_tuple()
    if isinstance(exponent, str):
        return struct.pack("!hhHh", 0, 0, 0xF000 if sign and exponent == "F" else _SIGNS[exponent], 0)
    scale = max(0, -exponent)
    text = "".join(map(str, digits)) + "0" * max(0, exponent)
    whole, behind = (text[:-scale] or "0", text[-scale:].rjust(scale, "0")) if scale else (text, "")
    whole = whole.rjust(-(-len(whole) // 4) * 4, "0")
    behind = behind.ljust(-(-len(behind) // 4) * 4, "0")
    groups = [int((whole + behind)[at : at + 4]) for at in range(0, len(whole + behind), 4)]
    weight = len(whole) // 4 - 1
    while groups and not groups[0]:
        groups, weight = groups[1:], weight - 1
    while groups and not groups[-1]:
        groups = groups[:-1]
    if not groups:
        sign = weight = 0
    return struct.pack(f"!hhHh{len(groups)}H", len(groups), weight, 0x4000 if sign else 0, scale, *groups)


def encoded(kind: str, value: Any) -> bytes | None:
    """Return the bytes of one value of a decoder's kind."""
    if value is None:
        return None
    match kind:
        case "bool":
            return struct.pack("!?", value)
        case "int2" | "int4" | "int8" | "float4" | "float8":
            formats = {"int2": "h", "int4": "i", "int8": "q", "float4": "f", "float8": "d"}
            return struct.pack(f"!{formats[kind]}", value)
        case "text":
            return bytes(value.encode())
        case "bytea":
            return bytes(value)
        case "date":
            return struct.pack("!i", (value - date(2000, 1, 1)).days)
        case "timestamp":
            return struct.pack("!q", (value - _EPOCH) // timedelta(microseconds=1))
        case "uuid":
            return UUID(value).bytes
        case "numeric" | "decimal":
            return numeric(value)
    raise AssertionError(kind)
