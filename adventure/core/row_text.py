"""The text of a whole row. Source and warehouse both compute it in SQL, so that whole rows are compared by hash.

The text holds each column in turn: the length of its text, a colon and the text; `-` for NULL. The hash of a row is the
MD5 of that text in hexadecimal digits.
"""

from dataclasses import dataclass
from typing import Literal

RowKind = Literal["plain", "number", "padded", "bytes", "day", "moment", "float", "document"]
"""How a column becomes text: as it prints; a decimal without zeros at its end; without the padding of char(n);
binary in hexadecimal; days since 1970; microseconds since 1970; a double with 17 digits, as C's `%.16e` prints it;
a whole document as it was staged."""


@dataclass(frozen=True)
class RowColumn:
    """A source column that takes part in the comparison."""

    name: str
    kind: RowKind
