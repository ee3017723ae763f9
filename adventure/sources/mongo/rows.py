"""Count and find the documents of a MongoDB source, in the same way for `check`, `status` and `reconcile`.

Every document of the stream's collection counts as a row. Cursor and key are read as the processor reads them. A
document without a usable cursor lies in no range of cursors, and one without a key cannot be looked up.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo.read_concern import ReadConcern

from adventure.core.key_kinds import joined_key
from adventure.core.streams import Stream
from adventure.sources.mongo.bson_walk import CannotConvert
from adventure.sources.mongo.connect import MongoDocument
from adventure.sources.mongo.cursors import cursor_moment, cursor_ranges
from adventure.sources.mongo.keys import key_text, value_at
from adventure.sources.mongo.shape import condition_of, under

if TYPE_CHECKING:
    import pymongo
    from pymongo.collection import Collection

BATCH = 10_000
_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace"
)
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)

Found = tuple[dict[str, Any], bytes]
"""A document, whole or with only its key and cursor: decoded, and as BSON."""


@dataclass(frozen=True)
class SourceDocuments:
    """The documents of one stream."""

    collection: "Collection[MongoDocument]"
    stream: Stream

    @classmethod
    def of(cls, client: "pymongo.MongoClient[MongoDocument]", stream: Stream) -> "SourceDocuments":
        """Return the stream's documents, read with read concern majority, as the processor reads them."""
        database = client[stream.namespace]
        return cls(database.get_collection(stream.table, read_concern=ReadConcern("majority")), stream)

    def count(self) -> int:
        """Return the number of documents."""
        count = self.collection.count_documents(self._condition)
        return count - (sum(1 for _ in self._below_start()) if self.stream.start else 0)

    def between(self, low: datetime, high: datetime | None = None, *, whole: bool = False) -> Iterator[Found]:
        """Yield the documents with a usable cursor in `[low, high)`, or from `low` on."""
        for bounds in cursor_ranges(low, high):
            for document, raw in self.find({self.stream.cursor: bounds}, whole=whole):
                cursor = self.cursor(document)
                if cursor is not None and cursor >= low and (high is None or cursor < high):
                    yield document, raw

    def first(self, low: datetime) -> datetime | None:
        """Return the lowest cursor at or above `low`. Dates are found by the index; all text above `low` is read."""
        name = self.stream.cursor
        texts = [bounds for bounds in cursor_ranges(low, None) if isinstance(bounds["$gte"], str)]
        cursors = (self.cursor(document) for bounds in texts for document, _ in self.find({name: bounds}))
        lowest = min((cursor for cursor in cursors if cursor is not None and cursor >= low), default=None)
        for document, _ in self.find({name: {"$gte": low, "$lte": lowest or datetime.max}}, sort=True):
            # A date in an array is not a cursor.
            if (cursor := self.cursor(document)) is not None:
                return cursor
        return lowest

    def find(
        self, query: dict[str, Any], *, whole: bool = False, sort: bool = False, before_start: bool = False
    ) -> Iterator[Found]:
        """Yield the documents that match a query.

        Args:
            whole: read whole documents; else only key and cursor.
            sort: sort by the cursor, as the server compares values.
            before_start: include documents below the stream's start.
        """
        name, start = self.stream.cursor, None if before_start else self.stream.start
        projection = None if whole else {"_id": 1, name: 1} | dict.fromkeys(self.stream.key, 1)
        found = self.collection.find_raw_batches(
            under(self._condition, query), projection, batch_size=1 if sort else BATCH
        )
        for batch in found.sort(name, 1) if sort else found:
            for raw in bson.decode_all(cast(bytes, batch), _RAW):
                document = bytes(raw.raw)
                decoded = bson.decode(document, _OPTIONS)
                if start is None or (cursor := self.cursor(decoded)) is None or cursor >= start:
                    yield decoded, document

    @cached_property
    def _condition(self) -> dict[str, Any]:
        return condition_of(self.stream)

    def _below_start(self) -> Iterator[None]:
        start = self.stream.start
        assert start
        for bounds in cursor_ranges(datetime.min, start):
            for document, _ in self.find({self.stream.cursor: bounds}, before_start=True):
                if (cursor := self.cursor(document)) is not None and cursor < start:
                    yield None

    def cursor(self, document: dict[str, Any]) -> datetime | None:
        """Return the document's cursor; None if the processor rejects it."""
        try:
            return cursor_moment(self.stream.cursor, value_at(document, self.stream.cursor))
        except CannotConvert:
            return None

    def key(self, document: dict[str, Any]) -> str | None:
        """Return the document's key as text; None if a part of it is missing."""
        values = [value_at(document, name) for name in self.stream.key]
        return None if None in values else joined_key([key_text(value) for value in values])
