"""A collection of MongoDB as a side of the comparison: key and cursor alone are read, and hashed here."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo.read_concern import ReadConcern

from adventure.core.key_kinds import KeyKind, joined_key
from adventure.core.row_text import RowColumn
from adventure.core.settings import Settings
from adventure.core.spans import Digest, Pieces, Span, micros, moment
from adventure.core.streams import Stream
from adventure.sources.mongo.bson_json import decode, key_text, to_json
from adventure.sources.mongo.bson_walk import CannotCarry
from adventure.sources.mongo.connect import MongoDocument, connect_mongo, translating_mongo
from adventure.sources.mongo.keys import with_keys
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
        with connect_mongo(uri, name=_NAME) as client, translating_mongo(uri, _NAME):
            collection = client[stream.namespace].get_collection(stream.table, read_concern=ReadConcern("majority"))
            columns = (RowColumn("raw", "document"),) if rows else ()
            yield cls(collection, uri, stream, tuple("document" for _ in stream.key), columns)

    def lowest(self) -> int | None:
        """The lowest cursor of either kind."""
        found = []
        for kind in ("date", "string"):
            for document, _ in self._find({self.stream.cursor: {"$type": kind}}, sort=True):
                if (cursor := self._cursor(document)) is not None:
                    found.append(cursor)
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
        """By the key's index, for every kind of value that has such a text."""
        wanted = {joined_key(key) for key in keys}
        query = with_keys(self.stream.key, keys)
        found = ((self._key(document), self._cursor(document), self._row(raw)) for document, raw in self._find(query))
        return [(key, cursor, row) for key, cursor, row in found if key in wanted]

    def unusable(self) -> Iterator[list[str]]:
        """The cursor is missing, or neither a date nor text that is ISO-8601; or a part of the key is missing."""
        lacking: list[dict[str, Any]] = [{key: None} for key in self.stream.key if key != "_id"]
        queries: list[dict[str, Any]] = [
            {"$or": [{self.stream.cursor: {"$not": {"$type": ["date", "string"]}}}, *lacking]}
        ]
        queries.append({self.stream.cursor: {"$type": "string"}})
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
        for bounds in _bounds(span):
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

    @staticmethod
    def _row(raw: bytes | None) -> str | None:
        """The hash of the document as it is staged. One that cannot be converted was rejected."""
        if raw is None:
            return None
        try:
            return hashlib.md5(to_json(decode(raw), raw), usedforsecurity=False).hexdigest()
        except CannotCarry:
            return "cannot be converted"

    def _cursor(self, document: dict[str, Any]) -> int | None:
        """None where the processor sets the document aside."""
        value = document.get(self.stream.cursor)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                return None
        if not isinstance(value, datetime):
            return None
        return micros(value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value)

    def _key(self, document: dict[str, Any]) -> str | None:
        values = [document.get(name) for name in self.stream.key]
        if None in values:
            return None
        try:
            return joined_key([key_text(value) for value in values])
        except CannotCarry:
            return None


def _bounds(span: Span) -> Iterator[dict[str, Any]]:
    """Ranges of dates and of text that are not narrower than the span: dates hold milliseconds, text may hold none."""
    low, high = moment(span.low), moment(span.high)
    yield {"$gte": low, "$lt": high + timedelta(milliseconds=1)}
    # A blank between day and time sorts below a T: one range holds both.
    yield {"$gte": low.isoformat(" ", "seconds"), "$lt": (high + timedelta(seconds=1)).isoformat("T", "seconds")}
