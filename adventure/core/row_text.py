"""A whole row as one text that a source and a warehouse both compute, so that their servers compare rows by hash.

The text of a row is that of each column in turn: its length, a colon and its text; `-` for NULL. The hash of a row is
the MD5 of that text in hexadecimal digits.
"""

from dataclasses import dataclass
from typing import Literal

RowKind = Literal["plain", "number", "padded", "bytes", "day", "moment", "float", "document"]
"""How a column becomes text: as it prints; a decimal without zeros at its end; without the padding of char(n);
binary in hexadecimal; days since 1970; microseconds since 1970; a double with 17 digits, as C's `%.16e` prints it;
a whole document as it was staged."""


@dataclass(frozen=True)
class RowColumn:
    """A column of the source that is compared."""

    name: str
    kind: RowKind
