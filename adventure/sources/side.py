"""The seam: what a comparison needs of a source, in statements of their own that keep no transaction open for long.

A transaction that stays open holds back the processor's horizon, and with it every new row.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Protocol

from adventure.core.key_kinds import KeyKind
from adventure.core.row_text import RowColumn
from adventure.core.spans import Side, Span
from adventure.core.watermark import Watermark

Version = tuple[str, int | None, str | None]
"""A key's text; its cursor in microseconds since 1970, None where it is NULL, missing or no moment; and the hash of the
whole row, where rows are compared."""


class SourceSide(Side, Protocol):
    """The stream's table or collection, as it is now."""

    key_kinds: tuple[KeyKind, ...]
    row_columns: tuple[RowColumn, ...]
    """The columns that are compared besides key and cursor; none, unless whole rows are."""

    def lookback(self, mark: Watermark) -> timedelta:
        """Return how far below the watermark the next window looks for rows: those in there may not be staged yet."""

    def lag(self, mark: Watermark) -> timedelta:
        """Return how far a cursor can lie below the moment at which its row is written, where cursors are coarse."""

    def lowest(self) -> int | None:
        """The lowest cursor, or None when there is no row."""

    def versions(self, span: Span) -> Iterator[Sequence[Version]]:
        """The rows in the span, in batches."""

    def lookup(self, keys: Sequence[tuple[str, ...]]) -> list[Version]:
        """What is there now of these keys, at whatever cursor; a key that is not there is left out."""

    def unusable(self) -> Iterator[list[str]]:
        """Yield the keys of rows that no window will ever bring, in batches: their cursor is none."""

    def keyless(self) -> Iterator[list[tuple[str, int | None]]]:
        """Yield the rows a part of whose key is NULL, in batches: nothing can be looked up by such a key.

        Each is its key as `raw_ext.rejected_rows` has it, and its cursor.
        """
