"""The MongoDB side of a comparison. It reads only key and cursor from the server, and computes the hashes here."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from adventure.core.clock import earlier
from adventure.core.key_kinds import KeyKind, joined_key
from adventure.core.row_text import RowColumn
from adventure.core.settings import Settings
from adventure.core.source_name import SourceName
from adventure.core.spans import Digest, Pieces, Span, micros, moment
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.sources.mongo.bson_json import decode, document_line
from adventure.sources.mongo.bson_walk import CannotConvert
from adventure.sources.mongo.connect import connect_mongo, source_name, translating_mongo
from adventure.sources.mongo.keys import key_value, with_keys
from adventure.sources.mongo.rows import BATCH, Found, SourceDocuments
from adventure.sources.side import Version


@dataclass
class MongoSide:
    """See `SourceSide`. Text cursors are ISO-8601, in UTC unless they have an offset, as for the processor."""

    documents: SourceDocuments
    uri: str
    name: SourceName
    stream: Stream
    key_kinds: tuple[KeyKind, ...]
    row_columns: tuple[RowColumn, ...] = ()

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, stream: Stream, *, rows: bool = False) -> "Iterator[MongoSide]":
        """Connect.

        Args:
            rows: whether to compare whole documents.
        """
        uri, name = settings.mongo_conninfo, source_name(settings)
        with connect_mongo(uri, name=name, silence=settings.silence_sec) as client, translating_mongo(uri, name):
            columns = (RowColumn("raw", "document"),) if rows else ()
            yield cls(
                SourceDocuments.of(client, stream), uri, name, stream, tuple("document" for _ in stream.key), columns
            )

    def lookback(self, mark: Watermark) -> timedelta:
        """Return the stream's lookback."""
        return self.stream.lookback

    def lag(self, mark: Watermark) -> timedelta:
        """Return zero, because cursors of documents are not coarse."""
        return timedelta(0)

    def lowest(self) -> int | None:
        """Return the lowest cursor. For text, which sorts by form and offset, return a bound before its year."""
        found = []
        for kind in ("date", "string"):
            for document, _ in self._find({self.stream.cursor: {"$type": kind}}, sort=True):
                if (cursor := self._cursor(document)) is not None:
                    year = moment(cursor).replace(month=1, day=1)
                    found.append(cursor if kind == "date" else micros(earlier(year, timedelta(days=7))))
                    break
        return min(found, default=None)

    def digests(self, pieces: Pieces) -> dict[int, Digest]:
        """Return the digest of each piece, with the same hashes as the SQL of the other sides."""
        found: dict[int, Digest] = {}
        low, width = pieces.span.low, pieces.width
        for key, cursor, row in self._versions(pieces.span):
            assert cursor is not None
            version = f"{key}|{cursor}" if row is None else f"{key}|{cursor}|{row}"
            number = (cursor - low) // width
            before = found.get(number, Digest())
            hashed = int(hashlib.md5(version.encode(), usedforsecurity=False).hexdigest()[:15], 16)
            found[number] = Digest(before.rows + 1, before.hash + hashed)
        return found

    def versions(self, span: Span) -> Iterator[list[Version]]:
        """Yield the documents in the span, in batches. `unusable` yields those without a field of the key."""
        batch: list[Version] = []
        for version in self._versions(span):
            batch.append(version)
            if len(batch) >= BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def lookup(self, keys: Sequence[tuple[str, ...]]) -> list[Version]:
        """Return the current documents with these keys, through the key's index.

        A text that is not a key's text cannot be looked up. It is returned without a cursor, like a document about
        which nothing is known, so that the comparison does not take it for deleted.
        """
        wanted = {joined_key(key) for key in keys}
        unknown: list[Version] = [(joined_key(key), None, None) for key in keys if not _is_key(key)]
        query = with_keys(self.stream.key, keys)
        found = (
            (self.documents.key(document), self._cursor(document), self._row(raw))
            for document, raw in self._find(query)
        )
        return unknown + [(key, cursor, row) for key, cursor, row in found if key in wanted]

    def unusable(self) -> Iterator[list[str]]:
        """Yield the keys of documents that the processor rejects for their cursor or key; see `cursor_moment`."""
        name = self.stream.cursor
        # Queries look into arrays, and would match a date in an array as the cursor.
        steps = [".".join(name.split(".")[: number + 1]) for number in range(name.count(".") + 1)]
        queries: list[dict[str, Any]] = [
            {
                "$or": [
                    # Not `$not` of a list of types: servers that only speak the protocol lack it.
                    {"$nor": [{name: {"$type": "date"}}, {name: {"$type": "string"}}]},
                    *({step: {"$type": "array"}} for step in steps),
                    {name: {"$lt": datetime.min}},
                    {name: {"$gt": datetime.max}},
                    *({key: None} for key in self.stream.key),
                ]
            },
            {name: {"$type": "string"}},
        ]
        batch: list[str] = []
        for query in queries:
            for document, _ in self._find(query):
                key = self.documents.key(document)
                if self._cursor(document) is None or key is None:
                    batch.append(key or "NULL")
                if len(batch) >= BATCH:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def keyless(self) -> Iterator[list[tuple[str, int | None]]]:
        """Yield nothing: `unusable` yields documents that lack a part of their key, and `lookup` accepts those keys."""
        return iter(())

    def _versions(self, span: Span) -> Iterator[Version]:
        with translating_mongo(self.uri, self.name):
            for document, raw in self.documents.between(moment(span.low), moment(span.high), whole=self._whole):
                if (key := self.documents.key(document)) is not None:
                    yield key, self._cursor(document), self._row(raw)

    def _find(self, query: dict[str, Any], *, sort: bool = False) -> Iterator[Found]:
        with translating_mongo(self.uri, self.name):
            yield from self.documents.find(query, whole=self._whole, sort=sort)

    @property
    def _whole(self) -> bool:
        return bool(self.row_columns)

    def _row(self, raw: bytes) -> str | None:
        """Return the hash of the staged document. Documents that cannot be converted were rejected."""
        if not self._whole:
            return None
        try:
            line = document_line(decode(raw), raw, self.stream)
        except CannotConvert:
            return "cannot be converted"
        return hashlib.md5(line, usedforsecurity=False).hexdigest()

    def _cursor(self, document: dict[str, Any]) -> int | None:
        cursor = self.documents.cursor(document)
        return None if cursor is None else micros(cursor)


def _is_key(key: tuple[str, ...]) -> bool:
    try:
        for text in key:
            key_value(text)
    except ValueError:
        return False
    return True
