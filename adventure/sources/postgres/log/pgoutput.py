"""Decode the messages of PostgreSQL's plugin pgoutput (protocol version 1): transactions, and the keys of changed rows.

Values of other columns are skipped. This module knows bytes only, no connection.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from struct import Struct
from typing import NamedTuple

_EPOCH = datetime(2000, 1, 1)
_BEGIN = Struct(">QqI")
_COMMIT = Struct(">BQQq")
_TRUNCATE = Struct(">IB")
_INT32, _INT16, _COLUMN = Struct(">I"), Struct(">H"), Struct(">Ii")
_NULL, _UNCHANGED, _OLD_KEY, _OLD_ROW = b"nuKO"
_SAME = "\0"
"""The text of a long value that did not change, which the log does not repeat. No text of the server has this byte."""

Key = tuple[str | None, ...]
"""The text of each key column, as the server prints it."""


class Begin(NamedTuple):
    """The beginning of a transaction. Transactions follow each other in the order of their commits."""

    commit_lsn: int
    """Where its commit record begins."""
    at: datetime
    """When it was committed by the server's clock; naive UTC."""
    xid: int
    """Its number without the epoch: 32 bits."""


class Commit(NamedTuple):
    """The end of a transaction."""

    end_lsn: int
    """Where the log goes on behind its commit record."""


class Change(NamedTuple):
    """An inserted, updated or deleted row."""

    relation: "Relation"
    new: Key | None
    """The key of the row; None if it was deleted."""
    old: Key | None
    """The key before, if it was deleted or its key changed; without a column that the replica identity lacks: None."""


class Truncate(NamedTuple):
    """Tables that were emptied."""

    relations: "tuple[Relation, ...]"


@dataclass(frozen=True)
class Relation:
    """A table whose changes are decoded."""

    namespace: str
    name: str
    positions: tuple[int, ...]
    """Where its key columns are among its columns."""
    lacks: str | None
    """A key column that the table does not have in the log; None if it has all."""


Message = Begin | Commit | Change | Truncate


class Decoder:
    """Decodes the messages of one read of a slot, in their order.

    Args:
        key_of: returns the key columns of a table, by its schema and name; None for a table that is not wanted.
    """

    def __init__(self, key_of: Callable[[str, str], Sequence[str] | None]) -> None:
        self._key_of = key_of
        self._relations: dict[int, Relation | None] = {}

    def decode(self, message: bytes) -> Message | None:
        """Return the message; None if it concerns no wanted table."""
        kind = message[:1]
        if kind == b"I":
            relation = self._relations[_INT32.unpack_from(message, 1)[0]]
            return Change(relation, _key(message, 6, relation), None) if relation else None
        if kind == b"U":
            return self._update(message)
        if kind == b"D":
            relation = self._relations[_INT32.unpack_from(message, 1)[0]]
            return Change(relation, None, _key(message, 6, relation)) if relation else None
        if kind == b"B":
            commit_lsn, micros, xid = _BEGIN.unpack_from(message, 1)
            return Begin(commit_lsn, _EPOCH + timedelta(microseconds=micros), xid)
        if kind == b"C":
            return Commit(_COMMIT.unpack_from(message, 1)[2])
        if kind == b"R":
            self._relation(message)
        if kind == b"T":
            count, _ = _TRUNCATE.unpack_from(message, 1)
            found = (self._relations[_INT32.unpack_from(message, 6 + 4 * each)[0]] for each in range(count))
            relations = tuple(filter(None, found))
            return Truncate(relations) if relations else None
        return None

    def _update(self, message: bytes) -> Change | None:
        relation = self._relations[_INT32.unpack_from(message, 1)[0]]
        if relation is None:
            return None
        if message[5] not in (_OLD_KEY, _OLD_ROW):
            return Change(relation, _key(message, 6, relation), None)
        old = _key(message, 6, relation)
        new = _key(message, _end(message, 6) + 1, relation)
        new = tuple(before if value == _SAME else value for before, value in zip(old, new, strict=True))
        return Change(relation, new, old if old != new else None)

    def _relation(self, message: bytes) -> None:
        (oid,) = _INT32.unpack_from(message, 1)
        namespace, offset = _text(message, 5)
        name, offset = _text(message, offset)
        key = self._key_of(namespace or "pg_catalog", name)
        if key is None:
            self._relations[oid] = None
            return
        (count,) = _INT16.unpack_from(message, offset + 1)
        offset += 3
        columns = []
        for _ in range(count):
            column, offset = _text(message, offset + 1)
            columns.append(column)
            offset += _COLUMN.size
        lacks = next((column for column in key if column not in columns), None)
        positions = () if lacks else tuple(columns.index(column) for column in key)
        self._relations[oid] = Relation(namespace, name, positions, lacks)


def _text(message: bytes, offset: int) -> tuple[str, int]:
    """Return the text that ends with a zero byte, and the offset behind it."""
    end = message.index(0, offset)
    return message[offset:end].decode(), end + 1


def _key(message: bytes, offset: int, relation: Relation) -> Key:
    """Return the key columns of the row at the offset: None for NULL, `_SAME` for a long one that did not change."""
    positions = relation.positions
    if not positions:
        return ()
    if positions == (0,) and message[offset + 2] not in (_NULL, _UNCHANGED):
        # The key of nearly every table is its first column, and every change has one.
        (size,) = _INT32.unpack_from(message, offset + 3)
        return (message[offset + 7 : offset + 7 + size].decode(),)
    found: dict[int, str | None] = {}
    offset += 2
    for position in range(max(positions) + 1):
        kind = message[offset]
        offset += 1
        if kind == _UNCHANGED:
            found[position] = _SAME
        elif kind != _NULL:
            (size,) = _INT32.unpack_from(message, offset)
            offset += 4 + size
            if position in positions:
                found[position] = message[offset - size : offset].decode()
    return tuple(found.get(position) for position in positions)


def _end(message: bytes, offset: int) -> int:
    """Return the offset behind the row."""
    (count,) = _INT16.unpack_from(message, offset)
    offset += 2
    for _ in range(count):
        kind = message[offset]
        offset += 1
        if kind != _NULL and kind != _UNCHANGED:
            offset += 4 + _INT32.unpack_from(message, offset)[0]
    return offset
