"""Keys as text that both sides render alike.

A key of one column is that column's text. One of several is each part's length, a colon and the part, so that no two
keys share a text, whatever stands in their parts.
"""

from collections.abc import Sequence
from typing import Literal

KeyKind = Literal["plain", "number", "padded", "bytes", "document"]
"""How a key's column becomes text: as it prints; a numeric without zeros at its end; a char(n) without its padding;
binary in hexadecimal behind `\\x`; a field of a document."""


def joined_key(parts: Sequence[str]) -> str:
    """The text of a key."""
    return parts[0] if len(parts) == 1 else "".join(f"{len(part)}:{part}" for part in parts)


def key_parts(text: str, columns: int) -> tuple[str, ...]:
    """The parts of a key's text."""
    if columns == 1:
        return (text,)
    parts = []
    while text:
        length, _, rest = text.partition(":")
        parts.append(rest[: int(length)])
        text = rest[int(length) :]
    return tuple(parts)
