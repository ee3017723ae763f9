"""MongoDB as a source: by its change stream if the server has one, else by ranges of the indexed cursor."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import bson
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS
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
from adventure.sources.mongo.connect import connect_mongo, source_name, translating_mongo
from adventure.sources.mongo.documents import DocumentWriter
from adventure.sources.mongo.keys import with_keys
from adventure.sources.mongo.origin import collection_origin, has_change_streams
from adventure.sources.mongo.reader import Bounds, CollectionReader, StreamCursor
from adventure.sources.mongo.shape import condition_of, under, wrong_condition
from adventure.sources.source import NOT_BEGUN, Extract, SourceSnapshot

_COLUMNS = (Column("raw", "json"),)
_TICK = timedelta(milliseconds=1)
log = get_logger()


@dataclass
class MongoSnapshot:
    """The time of the server up to which documents are read."""

    bounds: Bounds
    marks: Mapping[str, Watermark]
    source: "MongoSource"
    unreadable: dict[str, SourceError] = field(default_factory=dict)
    mode: str = "lookback"
    tick: timedelta = _TICK

    def __post_init__(self) -> None:
        self.horizon = self.bounds.horizon

    def origin(self, stream: Stream) -> Origin:
        """Return the collection's UUID; see `SourceSnapshot`."""
        return self.source.origin(stream, watched=self.bounds.until is not None)

    def end(self, stream: Stream) -> datetime:
        """Return the horizon itself, because MongoDB's dates are in UTC."""
        return self.horizon

    def extract(self, stream: Stream, folder: Path) -> Extract:
        """Write the stream's new documents as NDJSON, and the keys of deleted ones; see `SourceSnapshot`."""
        return self.source.read(stream, self.marks.get(stream.name), self.bounds, folder)

    def goes_on_after(self, error: AdventureError) -> bool:
        """Return whether the server still answers. Collections are read one by one, so there is nothing to undo."""
        return not isinstance(error, SourceUnavailable)

    def extract_keys(self, stream: Stream, keys: Sequence[tuple[str, ...]], below: datetime, folder: Path) -> Extract:
        """Write the documents with these keys as NDJSON; see `SourceSnapshot`."""
        return self.source.read_keys(stream, keys, below, folder)


class MongoSource:
    """The server that holds the documents."""

    def __init__(self, settings: Settings, retry_for: float | None = None) -> None:
        self._uri, self._name = settings.mongo_conninfo, source_name(settings)
        self._client = connect_mongo(self._uri, name=self._name, retry_for=retry_for, silence=settings.silence_sec)
        self._reader = CollectionReader(self._client)
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
        bounds = Bounds(horizon, hello.get("operationTime") if follows else None, begun)
        yield MongoSnapshot(bounds, marks, self, unreadable)

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

    def read(self, stream: Stream, mark: Watermark | None, bounds: Bounds, folder: Path) -> Extract:
        """Write the documents that were not staged yet, and the keys of deleted ones."""
        cursor = self._cursors.setdefault(stream.name, StreamCursor())
        cursor.deduplicator.begin()
        with writing(folder):
            writer = DocumentWriter(stream, bounds.horizon, cursor.deduplicator, folder)
            with writer.documents, writer.rejects, writer.deletes, translating_mongo(self._uri, self._name):
                if not cursor.settled:
                    cursor.close_stream()
                cursor.settled = False
                mode = self._reader.read(writer, cursor, mark, bounds)
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
