"""Read the new documents of a collection, by its change stream if the server has one, else by lookback.

Change stream (replica sets, sharded clusters): a window reads every insert, update, replace and delete since the
position of the last window, whatever the cursor. It reads the collection itself only without a position: in the first
window, after a lookback, and when a position is lost. The stream is opened before the documents are read.

Lookback: there is no horizon, and a document may arrive with a cursor below the watermark, as late as its writer is.
Each window reads the stream's lookback again, and does not stage the same versions twice.

The cursor is a date, or ISO-8601 text in older documents. Each kind is queried by a range of its own, since one `$or`
over both would scan the collection.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import bson
import pymongo
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from bson.timestamp import Timestamp
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern

from adventure.core.clock import earlier
from adventure.core.errors import SourceError
from adventure.core.log import get_logger
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.mongo.change_stream import ChangeStream, PositionLost, Unwatchable
from adventure.sources.mongo.cursors import cursor_ranges
from adventure.sources.mongo.documents import DocumentWriter
from adventure.sources.mongo.shape import condition_of, under
from adventure.sources.prefetch import prefetch
from adventure.sources.progress import log_progress

CHANGE_STREAM = "change stream"
"""The mode. If documents had to be read again, the reason follows it."""

PREFETCHED_BATCHES = 1
"""Only one, because a batch may have up to 16 MB."""

CHANGES_A_WINDOW = 50_000
"""The most changes in a window, since their keys are in memory. A larger backlog takes several windows."""

_REST = timedelta(minutes=5)
"""Open a change stream again after this much idle time. Servers end idle cursors. After a machine was suspended,
one skipped entries that the oplog no longer held, without an error; resuming from the token raises the error."""
_AGAIN_SECONDS = 60.0
"""The time after which to try a change stream again, since a privilege may have been granted."""

log = get_logger()


@dataclass(frozen=True)
class Bounds:
    """Up to where a snapshot reads, and where the reading of new streams began."""

    horizon: datetime
    until: Timestamp | None
    """The server's cluster time; None if it has no change streams."""
    begun: Mapping[str, str]
    """Where the change stream was opened, for streams whose first window was not staged yet."""


@dataclass
class StreamCursor:
    """The state of one stream that the source keeps from cycle to cycle."""

    deduplicator: Deduplicator = field(default_factory=Deduplicator)
    change_stream: ChangeStream | None = None
    read_at: datetime = datetime.min
    """When the change stream was last read, by the server's clock."""
    has_documents_to_read: bool = False
    """True from the opening of the change stream before the first window, until the documents were read."""
    settled: bool = True
    """False while the change stream is ahead of the saved resume token."""
    unwatchable: str = ""
    ask_again_at: float = 0.0

    def close_stream(self) -> None:
        """Close the change stream, if one is open."""
        change_stream, self.change_stream = self.change_stream, None
        self.has_documents_to_read = False
        if change_stream:
            change_stream.close()


class CollectionReader:
    """Reads collections of one server."""

    def __init__(self, client: "pymongo.MongoClient[Any]") -> None:
        self._client = client

    def read(self, writer: DocumentWriter, cursor: StreamCursor, mark: Watermark | None, bounds: Bounds) -> str:
        """Read by the change stream if there is one, else by lookback; return the mode."""
        stream = writer.stream
        why_not = "not a replica set" if bounds.until is None else cursor.unwatchable
        if bounds.until and (not why_not or time.monotonic() >= cursor.ask_again_at):
            try:
                again = self._read_changes(writer, cursor, mark, bounds)
            except Unwatchable as reason:
                why_not = str(reason)
                if why_not != cursor.unwatchable:
                    log.warning(f"{stream.name}: reads by lookback: {why_not}", stream=stream.name)
                cursor.unwatchable, cursor.ask_again_at = why_not, time.monotonic() + _AGAIN_SECONDS
            else:
                cursor.unwatchable = ""
                return f"{CHANGE_STREAM}, read again: {again}" if again else CHANGE_STREAM
        cursor.close_stream()
        low = earlier(mark.value, stream.lookback) if mark else None
        for document in self._documents(stream, low, bounds.horizon):
            writer.write(document, low, bounds.horizon)
        return f"lookback: {why_not}"

    def _read_changes(
        self, writer: DocumentWriter, cursor: StreamCursor, mark: Watermark | None, bounds: Bounds
    ) -> str:
        """Read the changes since the position. Without a usable position, read the documents instead.

        Returns:
            Why documents were read although there was a position; empty if they were not.

        Raises:
            Unwatchable: the collection has no change stream.
        """
        stream, why = writer.stream, ""
        if mark is None and cursor.change_stream is None and not self._open_first(stream, cursor, bounds):
            return ""
        if cursor.has_documents_to_read:
            self._read_documents(writer, cursor, None)
            return ""
        low = earlier(mark.value, stream.lookback) if mark else None
        position = cursor.change_stream.position if cursor.change_stream else mark.position if mark else None
        rested, cursor.read_at = bounds.horizon - cursor.read_at > _REST, bounds.horizon
        assert bounds.until
        if cursor.change_stream or position:
            try:
                if cursor.change_stream is None or (rested and position):
                    cursor.close_stream()
                    cursor.change_stream = ChangeStream(self._client, stream, position)
                for change in cursor.change_stream.changes(bounds.until, CHANGES_A_WINDOW):
                    writer.write_change(change)
                if not cursor.change_stream.ended:
                    return ""
                why, low = "the collection was dropped or renamed", None
            except PositionLost as lost:
                why, low = str(lost), None if lost.elsewhere else low
            log.warning(
                f"{stream.name}: {why}; reads the documents again {f'from {low} on' if low else 'from the first'}."
                " Documents that were deleted meanwhile are unknown: `adventure reconcile --repair` marks them",
                stream=stream.name,
            )
        # Open the stream before reading the documents. Writes in between are then in both, and the models keep one.
        cursor.close_stream()
        cursor.change_stream = self._new_stream(stream)
        self._read_documents(writer, cursor, low)
        return why

    def _open_first(self, stream: Stream, cursor: StreamCursor, bounds: Bounds) -> bool:
        """Open the change stream before the first window, where it was opened before if that was saved.

        Returns:
            Whether the position is saved. If not, the documents are read when it is: a document that is deleted after
            this window was loaded must be found, even if the window's watermark is never saved.
        """
        position = bounds.begun.get(stream.name)
        if position:
            try:
                cursor.change_stream = ChangeStream(self._client, stream, position)
            except PositionLost as lost:
                log.warning(f"{stream.name}: {lost}, before a first window was staged", stream=stream.name)
                position = None
        if position is None:
            cursor.change_stream = self._new_stream(stream)
        cursor.has_documents_to_read = True
        return position is not None

    def _new_stream(self, stream: Stream) -> ChangeStream:
        try:
            return ChangeStream(self._client, stream, None)
        except PositionLost as lost:
            raise SourceError(
                f"{stream.name}: a change stream on {stream.location} cannot be opened: {lost}", "Enlarge the oplog"
            ) from lost

    def _read_documents(self, writer: DocumentWriter, cursor: StreamCursor, low: datetime | None) -> None:
        """Write the documents, after the change stream was opened."""
        assert cursor.change_stream
        for document in self._documents(writer.stream, low, None, cursor.change_stream.session):
            writer.write(document, low)
        cursor.has_documents_to_read = False

    def _documents(
        self, stream: Stream, low: datetime | None, high: datetime | None, session: ClientSession | None = None
    ) -> Iterator[RawBSONDocument]:
        """Yield the documents whose cursor may lie in `[low, high)`; without `low`, all documents."""
        for documents in log_progress(stream, self._batches(stream, low, high, session), "documents"):
            yield from documents

    def _batches(
        self, stream: Stream, low: datetime | None, high: datetime | None, session: ClientSession | None
    ) -> Iterator[list[RawBSONDocument]]:
        collection = self._client[stream.namespace].get_collection(stream.table, read_concern=ReadConcern("majority"))
        for bounds in cursor_ranges(low, high) if low else [None]:
            query = under(condition_of(stream), {stream.cursor: bounds} if bounds else {})
            found = collection.find_raw_batches(query, batch_size=1000, session=session)
            with prefetch(found, depth=PREFETCHED_BATCHES) as batches:
                for batch in batches:
                    yield bson.decode_all(cast(bytes, batch), DEFAULT_RAW_BSON_OPTIONS)
