"""Interface through which a comparison reads a source. Each statement is a short transaction of its own.

An open transaction holds back the processor's horizon, and new rows wait until it ends.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Protocol

from adventure.core.key_kinds import KeyKind
from adventure.core.row_text import RowColumn
from adventure.core.spans import Side, Span
from adventure.core.watermark import Watermark

Version = tuple[str, int | None, str | None]
"""A key's text; its cursor in microseconds since 1970, None where it is NULL, missing or not a timestamp; and the hash
of the whole row, where whole rows are compared."""


class SourceSide(Side, Protocol):
    """The stream's table or collection, as it is now."""

    key_kinds: tuple[KeyKind, ...]
    row_columns: tuple[RowColumn, ...]
    """The columns to compare besides key and cursor; empty unless whole rows are compared."""

    def lookback(self, mark: Watermark) -> timedelta:
        """Return how far below the watermark the next window reads: rows in that range may not be staged yet."""

    def lag(self, mark: Watermark) -> timedelta:
        """Return how far a cursor can lie below the time at which its row is written, where cursors are coarse."""

    def lowest(self) -> int | None:
        """Return the lowest cursor, or None when there is no row."""

    def versions(self, span: Span) -> Iterator[Sequence[Version]]:
        """Yield the rows in the span, in batches."""

    def lookup(self, keys: Sequence[tuple[str, ...]]) -> list[Version]:
        """Return the current rows with these keys, whatever their cursor. Keys without a row are left out."""

    def unusable(self) -> Iterator[list[str]]:
        """Yield in batches the keys of rows that no window will ever hold, because their cursor is unusable."""

    def keyless(self) -> Iterator[list[tuple[str, int | None]]]:
        """Yield in batches the rows with NULL in a key column; no such row can be looked up.

        Each item is the key as `raw_ext.rejected_rows` holds it, and the cursor.
        """
