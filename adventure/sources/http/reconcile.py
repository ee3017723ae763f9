"""The API's side of a comparison. It reads the range again from the API, and keeps key, cursor and hash on disk."""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from adventure.core import heartbeat
from adventure.core.key_kinds import KeyKind, joined_key
from adventure.core.row_text import RowColumn
from adventure.core.settings import Settings
from adventure.core.spans import Digest, Pieces, Span, micros, moment
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.sources.http.client import ApiClient
from adventure.sources.http.endpoint import Endpoint
from adventure.sources.http.records import CannotConvert, record_cursor, record_key, record_line
from adventure.sources.side import Version

BATCH = 10_000

_INSERT = """
insert into versions values (?, ?, ?)
on conflict (key) do update set cursor = excluded.cursor, row = excluded.row
where cursor is null or excluded.cursor >= cursor
"""


class _Records:
    """Key, cursor and hash of the records whose cursor is `low` or above, in a temporary file of SQLite's."""

    def __init__(self, endpoint: Endpoint, low: datetime | None, *, rows: bool) -> None:
        self.low, self._rows, self._stream = low, rows, endpoint.stream
        # The name "" is a database on disk that SQLite removes with the connection.
        self.sql = sqlite3.connect("", isolation_level=None)
        self.sql.execute("create table versions (key text primary key, cursor integer, row text) without rowid")

        def read_pages() -> int:
            pages = 0
            for page in endpoint.pages(low):
                heartbeat.beat()
                pages += 1
                self.sql.execute("begin")
                self.sql.executemany(_INSERT, self._versions(page.records))
                self.sql.execute("commit")
            return pages

        endpoint.read_until_still(read_pages, lambda: self._one("select count(*) from versions") or 0)
        self.sql.execute("create index cursors on versions (cursor)")

    def _versions(self, records: Sequence[Any]) -> Iterator[Version]:
        for record in records:
            # A record without a key was rejected. No row in the warehouse can be its own.
            with suppress(CannotConvert):
                key, cursor, row = record_key(record, self._stream), None, None
                with suppress(CannotConvert):
                    cursor = record_cursor(record, self._stream)
                if self._stream.start and cursor and cursor < self._stream.start:
                    continue
                if self._rows:
                    row = self._row(record, cursor)
                yield key, micros(cursor) if cursor else None, row

    def _row(self, record: Any, cursor: datetime | None) -> str:
        """Return the hash of the staged line. A record that cannot be converted was rejected."""
        try:
            line = record_line(record, self._stream, cursor or datetime.min)
        except CannotConvert:
            return "cannot be converted"
        return hashlib.md5(line, usedforsecurity=False).hexdigest()

    def within(self, span: Span) -> sqlite3.Cursor:
        """Return the records with a cursor in the span."""
        return self.sql.execute("select * from versions where cursor >= ? and cursor < ?", [span.low, span.high])

    def lowest(self) -> int | None:
        """Return the lowest cursor."""
        return self._one("select min(cursor) from versions")

    def _one(self, statement: str) -> int | None:
        (value,) = self.sql.execute(statement).fetchone()
        return None if value is None else int(value)


@dataclass
class HttpSide:
    """See `SourceSide`."""

    endpoint: Endpoint
    key_kinds: tuple[KeyKind, ...]
    row_columns: tuple[RowColumn, ...] = ()
    first: _Records | None = None
    """What was read before the warehouse."""
    again: _Records | None = None
    """All records, read again after it, for the keys in question."""

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, stream: Stream, *, rows: bool = False) -> "Iterator[HttpSide]":
        """Prepare requests.

        Args:
            rows: whether to compare whole records.
        """
        with closing(ApiClient(settings)) as client:
            columns = (RowColumn("raw", "document"),) if rows else ()
            side = cls(Endpoint(client, stream), tuple("document" for _ in stream.key), columns)
            try:
                yield side
            finally:
                for records in filter(None, (side.first, side.again)):
                    records.sql.close()

    def lookback(self, mark: Watermark) -> timedelta:
        """Return the stream's lookback."""
        return self.endpoint.stream.lookback

    def lag(self, mark: Watermark) -> timedelta:
        """Return zero, because cursors of records are not coarse."""
        return timedelta(0)

    def lowest(self) -> int | None:
        """Return the lowest cursor. All records are read."""
        return self._from(None).lowest()

    def digests(self, pieces: Pieces) -> dict[int, Digest]:
        """Return the digest of each piece, with the same hashes as the SQL of the other sides."""
        found: dict[int, Digest] = {}
        for key, cursor, row in self._from(moment(pieces.span.low)).within(pieces.span):
            version = f"{key}|{cursor}" if row is None else f"{key}|{cursor}|{row}"
            number = (cursor - pieces.span.low) // pieces.width
            before = found.get(number, Digest())
            hashed = int(hashlib.md5(version.encode(), usedforsecurity=False).hexdigest()[:15], 16)
            found[number] = Digest(before.rows + 1, before.hash + hashed)
        return found

    def versions(self, span: Span) -> Iterator[list[Version]]:
        """Yield the records in the span, in batches."""
        reading = self._from(moment(span.low)).within(span)
        while batch := reading.fetchmany(BATCH):
            yield batch

    def lookup(self, keys: Sequence[tuple[str, ...]]) -> list[Version]:
        """Return the current records with these keys. All records are read again, once for all keys."""
        if not keys:
            return []
        if self.again is None:
            self.again = _Records(self.endpoint, None, rows=bool(self.row_columns))
        found: list[Version] = []
        for key in keys:
            found += self.again.sql.execute("select * from versions where key = ?", [joined_key(key)]).fetchall()
        return found

    def unusable(self) -> Iterator[list[str]]:
        """Yield the keys of records that the processor rejects for their cursor, of those that were read."""
        if self.first:
            reading = self.first.sql.execute("select key from versions where cursor is null")
            while batch := reading.fetchmany(BATCH):
                yield [key for (key,) in batch]

    def keyless(self) -> Iterator[list[tuple[str, int | None]]]:
        """Yield nothing: a record without a part of its key was rejected, and has no row in the warehouse."""
        return iter(())

    def _from(self, low: datetime | None) -> _Records:
        """Return the records from `low` on, which are read once."""
        if self.first is None or (self.first.low and (low is None or low < self.first.low)):
            if self.first:
                self.first.sql.close()
            self.first = _Records(self.endpoint, low, rows=bool(self.row_columns))
        return self.first
