"""The text of a key, which source and warehouse render in the same way.

The text of a key with one column is the column's text. With several columns it is each part's length, a colon and the
part, so that different keys never have the same text.
"""

from collections.abc import Sequence
from typing import Literal

KeyKind = Literal["plain", "number", "padded", "bytes", "document"]
"""How a key's column becomes text: as it prints; a numeric without zeros at its end; a char(n) without its padding;
binary in hexadecimal behind `\\x`; a field of a document."""


def joined_key(parts: Sequence[str]) -> str:
    """Return the text of a key with these parts."""
    return parts[0] if len(parts) == 1 else "".join(f"{len(part)}:{part}" for part in parts)


def key_parts(text: str, columns: int) -> tuple[str, ...]:
    """Return the parts of a key's text."""
    if columns == 1:
        return (text,)
    parts = []
    while text:
        length, _, rest = text.partition(":")
        parts.append(rest[: int(length)])
        text = rest[int(length) :]
    return tuple(parts)
