"""MongoDB as a source: by its change stream if the server has one, else by ranges of the indexed cursor.

Change stream (replica sets, sharded clusters): a window reads every insert, update, replace and delete since the
position of the last window, whatever the cursor. It reads the collection itself only without a position: in the first
window, after a lookback, and when a position is lost. The stream is opened before the documents are read.

Lookback: there is no horizon, and a document may arrive with a cursor below the watermark, as late as its writer is.
Each window reads the stream's lookback again, and does not stage the same versions twice.

The cursor is a date, or ISO-8601 text in older documents. Each kind is queried by a range of its own, since one `$or`
over both would scan the collection.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import bson
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from bson.timestamp import Timestamp
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from adventure.core.clock import earlier
from adventure.core.errors import AdventureError, SourceError, SourceShapeError, SourceUnavailable
from adventure.core.files import writing
from adventure.core.log import get_logger
from adventure.core.manifest import Column
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.mongo.change_stream import ChangeStream, PositionLost, Unwatchable
from adventure.sources.mongo.connect import connect_mongo, source_name, translating_mongo
from adventure.sources.mongo.cursors import cursor_ranges
from adventure.sources.mongo.documents import DocumentWriter
from adventure.sources.mongo.keys import with_keys
from adventure.sources.mongo.origin import collection_origin, has_change_streams
from adventure.sources.mongo.shape import condition_of, under, wrong_condition
from adventure.sources.prefetch import prefetch
from adventure.sources.progress import log_progress
from adventure.sources.source import NOT_BEGUN, Extract, SourceSnapshot

CHANGE_STREAM = "change stream"
"""The mode. If documents had to be read again, the reason follows it."""

PREFETCHED_BATCHES = 1
"""Only one, because a batch may have up to 16 MB."""

CHANGES_A_WINDOW = 50_000
"""The most changes in a window, since their keys are in memory. A larger backlog takes several windows."""

_COLUMNS = (Column("raw", "json"),)
_TICK = timedelta(milliseconds=1)
_REST = timedelta(minutes=5)
"""Open a change stream again after this much idle time. Servers end idle cursors. After a machine was suspended,
one skipped entries that the oplog no longer held, without an error; resuming from the token raises the error."""
_AGAIN_SECONDS = 60.0
"""The time after which to try a change stream again, since a privilege may have been granted."""

log = get_logger()


@dataclass
class MongoSnapshot:
    """The time of the server up to which documents are read."""

    horizon: datetime
    until: Timestamp | None
    """The server's cluster time; None if it has no change streams."""
    marks: Mapping[str, Watermark]
    begun: Mapping[str, str]
    """Where the change stream was opened, for streams whose first window was not staged yet."""
    source: "MongoSource"
    unreadable: dict[str, SourceError] = field(default_factory=dict)
    mode: str = "lookback"
    tick: timedelta = _TICK

    def origin(self, stream: Stream) -> Origin:
        """Return the collection's UUID; see `SourceSnapshot`."""
        return self.source.origin(stream, watched=self.until is not None)

    def end(self, stream: Stream) -> datetime:
        """Return the horizon itself, because MongoDB's dates are in UTC."""
        return self.horizon

    def extract(self, stream: Stream, folder: Path) -> Extract:
        """Write the stream's new documents as NDJSON, and the keys of deleted ones; see `SourceSnapshot`."""
        return self.source.read(stream, self.marks.get(stream.name), self, folder)

    def goes_on_after(self, error: AdventureError) -> bool:
        """Return whether the server still answers. Collections are read one by one, so there is nothing to undo."""
        return not isinstance(error, SourceUnavailable)

    def extract_keys(self, stream: Stream, keys: Sequence[tuple[str, ...]], below: datetime, folder: Path) -> Extract:
        """Write the documents with these keys as NDJSON; see `SourceSnapshot`."""
        return self.source.read_keys(stream, keys, below, folder)


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


class MongoSource:
    """The server that holds the documents."""

    def __init__(self, settings: Settings, retry_for: float | None = None) -> None:
        self._uri, self._name = settings.mongo_conninfo, source_name(settings)
        self._client = connect_mongo(self._uri, name=self._name, retry_for=retry_for, silence=settings.silence_sec)
        self._cursors: dict[str, StreamCursor] = {}
        self._warned: set[str] = set()

    @property
    def margin(self) -> timedelta:
        """Return zero, because documents are read up to the server's time."""
        return timedelta(0)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def release(self, marks: Mapping[str, Watermark]) -> list[str]:
        """Return nothing, because a MongoDB server keeps nothing for a stream."""
        return []

    def mark_staged(self, stream: Stream, floor: datetime) -> None:
        """Acknowledge that the stream's last extract was staged; see `Source`."""
        cursor = self._cursors[stream.name]
        cursor.deduplicator.staged(earlier(floor, stream.lookback))
        cursor.settled = True

    @contextmanager
    def open_snapshot(
        self, streams: Sequence[Stream], marks: Mapping[str, Watermark], begun: Mapping[str, str] = NOT_BEGUN
    ) -> Iterator[SourceSnapshot]:
        """Open a snapshot up to the server's time; see `Source`."""
        with translating_mongo(self._uri, self._name):
            hello = self._client.admin.command("hello")
            follows = has_change_streams(hello)
            for stream in streams:
                self._warn(stream, "a lost position makes one cycle read" if follows else "every cycle reads")
            unreadable = self._unreadable(streams)
        # The horizon is exclusive. Add a tick, so that documents of this millisecond are read.
        horizon = hello["localTime"].replace(tzinfo=None) + _TICK
        yield MongoSnapshot(horizon, hello.get("operationTime") if follows else None, marks, begun, self, unreadable)

    def _unreadable(self, streams: Sequence[Stream]) -> dict[str, SourceError]:
        """Return the streams whose `where` the server does not accept, with the error."""
        found: dict[str, SourceError] = {}
        for stream in streams:
            if stream.where:
                try:
                    # No document has one of no keys, so the server only checks the query.
                    self._client[stream.namespace][stream.table].find_one(
                        under(condition_of(stream), {"_id": {"$in": []}})
                    )
                except SourceShapeError as error:
                    found[stream.name] = error
                except OperationFailure as error:
                    found[stream.name] = wrong_condition(stream, f"the server says: {error}")
        return found

    def origin(self, stream: Stream, *, watched: bool) -> Origin:
        """Return the collection's origin.

        Args:
            watched: whether the server has change streams.
        """
        cursor = self._cursors.get(stream.name)
        follows = watched and not (cursor and cursor.unwatchable)
        with translating_mongo(self._uri, self._name):
            return collection_origin(self._client[stream.namespace][stream.table], follows)

    def read(self, stream: Stream, mark: Watermark | None, snapshot: MongoSnapshot, folder: Path) -> Extract:
        """Write the documents that were not staged yet, and the keys of deleted ones."""
        cursor = self._cursors.setdefault(stream.name, StreamCursor())
        cursor.deduplicator.begin()
        with writing(folder):
            writer = DocumentWriter(stream, snapshot.horizon, cursor.deduplicator, folder)
            with writer.documents, writer.rejects, writer.deletes, translating_mongo(self._uri, self._name):
                if not cursor.settled:
                    self._close_stream(cursor)
                cursor.settled = False
                mode = self._read_into(writer, cursor, mark, snapshot)
                writer.close()
            files, rejects, deletes = writer.documents.close(), writer.rejects.close(), writer.deletes.close()
        cursor.settled = not (files or rejects or deletes)
        change_stream = cursor.change_stream
        return Extract(
            files,
            rejects,
            _COLUMNS,
            writer.last,
            deletes=deletes,
            mode=mode,
            position=change_stream.position if change_stream else None,
            ordered=change_stream is not None,
            more=cursor.has_documents_to_read or (change_stream.more if change_stream else False),
        )

    def read_keys(self, stream: Stream, keys: Sequence[tuple[str, ...]], below: datetime, folder: Path) -> Extract:
        """Write the documents that have one of these keys and a cursor before `below`."""
        collection = self._client[stream.namespace].get_collection(stream.table, read_concern=ReadConcern("majority"))
        query = under(condition_of(stream), with_keys(stream.key, keys))
        with writing(folder):
            writer = DocumentWriter(stream, below, Deduplicator(), folder)
            with writer.documents, writer.rejects, translating_mongo(self._uri, self._name):
                for batch in collection.find_raw_batches(query, batch_size=1000):
                    for document in bson.decode_all(cast(bytes, batch), DEFAULT_RAW_BSON_OPTIONS):
                        writer.write(document, high=below)
            writer.deletes.close()
            return Extract(writer.documents.close(), writer.rejects.close(), _COLUMNS, writer.last)

    def _read_into(
        self, writer: DocumentWriter, cursor: StreamCursor, mark: Watermark | None, snapshot: MongoSnapshot
    ) -> str:
        """Read by the change stream if there is one, else by lookback; return the mode."""
        stream = writer.stream
        why_not = "not a replica set" if snapshot.until is None else cursor.unwatchable
        if snapshot.until and (not why_not or time.monotonic() >= cursor.ask_again_at):
            try:
                again = self._read_changes(writer, cursor, mark, snapshot)
            except Unwatchable as reason:
                why_not = str(reason)
                if why_not != cursor.unwatchable:
                    log.warning(f"{stream.name}: reads by lookback: {why_not}", stream=stream.name)
                cursor.unwatchable, cursor.ask_again_at = why_not, time.monotonic() + _AGAIN_SECONDS
            else:
                cursor.unwatchable = ""
                return f"{CHANGE_STREAM}, read again: {again}" if again else CHANGE_STREAM
        self._close_stream(cursor)
        low = earlier(mark.value, stream.lookback) if mark else None
        for document in self._documents(stream, low, snapshot.horizon):
            writer.write(document, low, snapshot.horizon)
        return f"lookback: {why_not}"

    def _read_changes(
        self, writer: DocumentWriter, cursor: StreamCursor, mark: Watermark | None, snapshot: MongoSnapshot
    ) -> str:
        """Read the changes since the position. Without a usable position, read the documents instead.

        Returns:
            Why documents were read although there was a position; empty if they were not.

        Raises:
            Unwatchable: the collection has no change stream.
        """
        stream, why = writer.stream, ""
        if mark is None and cursor.change_stream is None and not self._open_first(stream, cursor, snapshot):
            return ""
        if cursor.has_documents_to_read:
            self._read_documents(writer, cursor, None)
            return ""
        low = earlier(mark.value, stream.lookback) if mark else None
        position = cursor.change_stream.position if cursor.change_stream else mark.position if mark else None
        rested, cursor.read_at = snapshot.horizon - cursor.read_at > _REST, snapshot.horizon
        assert snapshot.until
        if cursor.change_stream or position:
            try:
                if cursor.change_stream is None or (rested and position):
                    self._close_stream(cursor)
                    cursor.change_stream = ChangeStream(self._client, stream, position)
                for change in cursor.change_stream.changes(snapshot.until, CHANGES_A_WINDOW):
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
        self._close_stream(cursor)
        cursor.change_stream = self._new_stream(stream)
        self._read_documents(writer, cursor, low)
        return why

    def _open_first(self, stream: Stream, cursor: StreamCursor, snapshot: MongoSnapshot) -> bool:
        """Open the change stream before the first window, where it was opened before if that was saved.

        Returns:
            Whether the position is saved. If not, the documents are read when it is: a document that is deleted after
            this window was loaded must be found, even if the window's watermark is never saved.
        """
        position = snapshot.begun.get(stream.name)
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

    def _close_stream(self, cursor: StreamCursor) -> None:
        change_stream, cursor.change_stream = cursor.change_stream, None
        cursor.has_documents_to_read = False
        if change_stream:
            change_stream.close()

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

    def _warn(self, stream: Stream, reads: str) -> None:
        """Warn once if the collection does not exist yet, or has no index on the cursor."""
        if stream.name in self._warned:
            return
        self._warned.add(stream.name)
        database = self._client[stream.namespace]
        if stream.table not in database.list_collection_names(filter={"name": stream.table}):
            log.warning(f"{stream.name}: there is no collection {stream.location} yet", stream=stream.name)
            return
        indexes = database[stream.table].index_information().values()
        if not any(index["key"][0][0] == stream.cursor for index in indexes):
            log.warning(
                f"{stream.name}: {stream.location} has no index on {stream.cursor}: {reads} the whole"
                f' collection. db.{stream.table}.createIndex({{"{stream.cursor}": 1}})',
                stream=stream.name,
            )
