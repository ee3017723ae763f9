"""A collection of MongoDB as a side of the comparison: key and cursor alone are read, and hashed here."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo.read_concern import ReadConcern

from adventure.core.clock import earlier
from adventure.core.key_kinds import KeyKind, joined_key
from adventure.core.row_text import RowColumn
from adventure.core.settings import Settings
from adventure.core.spans import Digest, Pieces, Span, micros, moment
from adventure.core.streams import Stream
from adventure.sources.mongo.bson_json import decode, document_line
from adventure.sources.mongo.bson_walk import CannotCarry
from adventure.sources.mongo.connect import MongoDocument, connect_mongo, translating_mongo
from adventure.sources.mongo.cursors import cursor_moment, cursor_ranges
from adventure.sources.mongo.keys import key_text, key_value, value_at, with_keys
from adventure.sources.side import Version

if TYPE_CHECKING:
    from pymongo.collection import Collection

_NAME = "the source of the documents"
_BATCH = 10_000
_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace"
)

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


@dataclass
class MongoSide:
    """See `SourceSide`. A text cursor is a moment here as it is for the processor: ISO-8601, in UTC unless it says."""

    collection: "Collection[MongoDocument]"
    uri: str
    stream: Stream
    key_kinds: tuple[KeyKind, ...]
    row_columns: tuple[RowColumn, ...] = ()

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, stream: Stream, *, rows: bool = False) -> "Iterator[MongoSide]":
        """Connect.

        Args:
            rows: whole documents are compared.
        """
        uri = settings.mongo_conninfo
        with connect_mongo(uri, name=_NAME, silence=settings.silence_sec) as client, translating_mongo(uri, _NAME):
            collection = client[stream.namespace].get_collection(stream.table, read_concern=ReadConcern("majority"))
            columns = (RowColumn("raw", "document"),) if rows else ()
            yield cls(collection, uri, stream, tuple("document" for _ in stream.key), columns)

    def lowest(self) -> int | None:
        """The lowest cursor of either kind. Text sorts by its form and offset: the days before its year's first one."""
        found = []
        for kind in ("date", "string"):
            for document, _ in self._find({self.stream.cursor: {"$type": kind}}, sort=True):
                if (cursor := self._cursor(document)) is not None:
                    year = moment(cursor).replace(month=1, day=1)
                    found.append(cursor if kind == "date" else micros(earlier(year, timedelta(days=7))))
                    break
        return min(found, default=None)

    def digests(self, pieces: Pieces) -> dict[int, Digest]:
        """Hashed as the other sides' SQL does it."""
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
        """Documents without a key's field are left out: `unusable` counts them."""
        batch: list[Version] = []
        for version in self._versions(span):
            batch.append(version)
            if len(batch) >= _BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def lookup(self, keys: Sequence[tuple[str, ...]]) -> list[Version]:
        """By the key's index.

        A text that is no key's cannot be looked up. It is returned without a cursor, as a document of which nothing
        is known, so that nobody takes it for deleted.
        """
        wanted = {joined_key(key) for key in keys}
        unknown: list[Version] = [(joined_key(key), None, None) for key in keys if not _is_key(key)]
        query = with_keys(self.stream.key, keys)
        found = ((self._key(document), self._cursor(document), self._row(raw)) for document, raw in self._find(query))
        return unknown + [(key, cursor, row) for key, cursor, row in found if key in wanted]

    def unusable(self) -> Iterator[list[str]]:
        """The documents that the processor rejects for their cursor or their key: see `cursor_moment`."""
        name = self.stream.cursor
        # Queries look into arrays, and would take the date in one for the cursor.
        steps = [".".join(name.split(".")[: number + 1]) for number in range(name.count(".") + 1)]
        queries: list[dict[str, Any]] = [
            {
                "$or": [
                    {name: {"$not": {"$type": ["date", "string"]}}},
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
                key = self._key(document)
                if self._cursor(document) is None or key is None:
                    batch.append(key or "NULL")
                if len(batch) >= _BATCH:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def keyless(self) -> Iterator[list[tuple[str, int | None]]]:
        """Yield nothing: `unusable` yields documents that lack a part of their key, which `lookup` takes."""
        return iter(())

    def _versions(self, span: Span) -> Iterator[Version]:
        for bounds in cursor_ranges(moment(span.low), moment(span.high)):
            for document, raw in self._find({self.stream.cursor: bounds}):
                cursor, key = self._cursor(document), self._key(document)
                if cursor is not None and key is not None and span.low <= cursor < span.high:
                    yield key, cursor, self._row(raw)

    def _find(self, query: dict[str, Any], *, sort: bool = False) -> Iterator[tuple[dict[str, Any], bytes | None]]:
        """The documents' keys and cursors, and where rows are compared the whole documents as BSON."""
        projection = None if self.row_columns else {"_id": 1, self.stream.cursor: 1} | dict.fromkeys(self.stream.key, 1)
        with translating_mongo(self.uri, _NAME):
            found = self.collection.find_raw_batches(query, projection, batch_size=1 if sort else _BATCH)
            for batch in found.sort(self.stream.cursor, 1) if sort else found:
                for raw in bson.decode_all(cast(bytes, batch), _RAW):
                    document = bytes(raw.raw)
                    yield bson.decode(document, _OPTIONS), document if self.row_columns else None

    def _row(self, raw: bytes | None) -> str | None:
        """The hash of the document as it is staged. One that cannot be converted was rejected."""
        if raw is None:
            return None
        try:
            line = document_line(decode(raw), raw, self.stream)
        except CannotCarry:
            return "cannot be converted"
        return hashlib.md5(line, usedforsecurity=False).hexdigest()

    def _cursor(self, document: dict[str, Any]) -> int | None:
        """None where the processor rejects the document."""
        try:
            return micros(cursor_moment(self.stream.cursor, value_at(document, self.stream.cursor)))
        except CannotCarry:
            return None

    def _key(self, document: dict[str, Any]) -> str | None:
        values = [value_at(document, name) for name in self.stream.key]
        return None if None in values else joined_key([key_text(value) for value in values])


def _is_key(key: tuple[str, ...]) -> bool:
    try:
        for text in key:
            key_value(text)
    except ValueError:
        return False
    return True
