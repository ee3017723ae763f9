"""The seam: what a comparison needs of a source, in statements of their own that keep no transaction open for long.

A transaction that stays open holds back the processor's horizon, and with it every new row.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from adventure.reconcile.keys import KeyKind
from adventure.reconcile.spans import Side, Span
from adventure.settings import Settings
from adventure.streams import Stream

Version = tuple[str, int | None]
"""A key's text, and its cursor in microseconds since 1970; None where it is NULL, missing or no moment."""


class SourceSide(Side, Protocol):
    """The stream's table or collection, as it is now."""

    key_kinds: tuple[KeyKind, ...]

    def lowest(self) -> int | None:
        """The lowest cursor, or None when there is no row."""

    def versions(self, span: Span) -> Iterator[Sequence[Version]]:
        """The rows in the span, in batches."""

    def lookup(self, keys: Sequence[tuple[str, ...]]) -> list[Version]:
        """What is there now of these keys, at whatever cursor; a key that is not there is left out."""

    def unusable(self) -> Iterator[list[str]]:
        """The keys of rows that no window will ever bring, in batches: their cursor is none, or a part of their key."""


@contextmanager
def open_source_side(settings: Settings, stream: Stream) -> Iterator[SourceSide]:
    """The stream's source, with a connection of its own.

    Raises:
        SourceError: it does not answer, refuses, or is not what the stream says.
    """
    if stream.source == "postgres":
        from adventure.reconcile.postgres import PostgresSide

        with PostgresSide.open(settings, stream) as postgres:
            yield postgres
        return
    from adventure.reconcile.mongo import MongoSide

    with MongoSide.open(settings, stream) as mongo:
        yield mongo
