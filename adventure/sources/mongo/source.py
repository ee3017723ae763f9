"""MongoDB as a source: by its change stream where the server has one, else by ranges of the indexed cursor.

Change stream (replica sets, sharded clusters): every insert, update, replace and delete since the position that the
last window left, whatever its cursor says. Documents themselves are read only where there is no position to go on
from: in the first window, after a lookback, and when a position is lost. The stream is opened before they are read.

Lookback: there is no horizon here, and a document may arrive with a cursor below the watermark, as late as its writer
is. Each window reads the stream's lookback again; what that finds is not staged again.

The cursor is a date, or ISO-8601 text in UTC in older documents; each kind is a range of its own, since one `$or` over
both would scan the collection.
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
from pymongo.read_concern import ReadConcern

from adventure.core.clock import earlier
from adventure.core.errors import SourceError
from adventure.core.files import writing
from adventure.core.log import get_logger
from adventure.core.manifest import Column
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark
from adventure.sources.deduplicator import Seen
from adventure.sources.mongo.change_stream import Feed, PositionLost, Unwatchable
from adventure.sources.mongo.connect import connect_mongo, translating_mongo
from adventure.sources.mongo.cursors import cursor_ranges
from adventure.sources.mongo.documents import Reading
from adventure.sources.mongo.keys import with_keys
from adventure.sources.mongo.origin import collection_origin, has_change_streams
from adventure.sources.prefetch import reading_ahead
from adventure.sources.progress import telling
from adventure.sources.source import Cut, Extract

CHANGE_STREAM = "change stream"
"""The mode; after it the reason, when documents had to be read again."""

BATCHES_AHEAD = 1
"""Of up to 16 MB each, where documents are large."""

CHANGES_A_WINDOW = 50_000
"""Their keys are held in memory; a backlog is staged in as many windows as it takes."""

_NAME = "the source of the documents"
_COLUMNS = (Column("raw", "json"),)
_TICK = timedelta(milliseconds=1)
_REST = timedelta(minutes=5)
"""How long a feed may rest. Servers end cursors that rest for longer, and one that woke on a machine that had slept was
seen to skip what the oplog no longer held: resuming at the position finds out."""
_AGAIN_SECONDS = 60.0
"""Until a collection that had no change stream is asked again: a privilege may have been granted."""

log = get_logger()


@dataclass
class MongoCut:
    """The server's time."""

    horizon: datetime
    until: Timestamp | None
    """The server's cluster time; None when it is no replica set."""
    marks: Mapping[str, Watermark]
    source: "MongoSource"
    unfit: dict[str, SourceError] = field(default_factory=dict)
    mode: str = "lookback"
    tick: timedelta = _TICK

    def origin(self, stream: Stream) -> Origin:
        """Return the collection's UUID; a change stream notices another collection by itself."""
        return self.source.origin(stream, watched=self.until is not None)

    def end(self, stream: Stream) -> datetime:
        """Dates of MongoDB are UTC, and are read up to the horizon itself."""
        return self.horizon

    def extract(self, stream: Stream, folder: Path) -> Extract:
        """The stream's documents as NDJSON, and which are gone; see `Cut`."""
        return self.source.read(stream, self.marks.get(stream.name), self, folder)

    def extract_keys(self, stream: Stream, keys: Sequence[tuple[str, ...]], below: datetime, folder: Path) -> Extract:
        """These documents as NDJSON; see `Cut`."""
        return self.source.read_keys(stream, keys, below, folder)


@dataclass
class _Followed:
    """What is kept of one stream from cycle to cycle."""

    seen: Seen = field(default_factory=Seen)
    feed: Feed | None = None
    read_at: datetime = datetime.min
    """When the feed was read last, by the server's clock."""
    settled: bool = True
    """What the last extract brought is staged, or it brought nothing; else the feed is past what the state knows."""
    unwatchable: str = ""
    ask_again_at: float = 0.0


class MongoSource:
    """The server that holds the documents."""

    def __init__(self, settings: Settings, patience: float | None = None) -> None:
        self._uri = settings.mongo_conninfo
        self._client = connect_mongo(self._uri, name=_NAME, patience=patience)
        self._followed: dict[str, _Followed] = {}
        self._warned: set[str] = set()

    @property
    def margin(self) -> timedelta:
        """Return zero: documents are read up to the server's time."""
        return timedelta(0)

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def remember(self, stream: Stream, floor: datetime) -> None:
        """The last extract of the stream is staged; see `Source`."""
        followed = self._followed[stream.name]
        followed.seen.staged(earlier(floor, stream.lookback))
        followed.settled = True

    @contextmanager
    def cut(self, streams: Sequence[Stream], marks: Mapping[str, Watermark]) -> Iterator[Cut]:
        """Everything up to the server's time."""
        with translating_mongo(self._uri, _NAME):
            hello = self._client.admin.command("hello")
            follows = has_change_streams(hello)
            for stream in streams:
                self._warn(stream, "a lost position makes one cycle read" if follows else "every cycle reads")
        # Exclusive: a document of this very millisecond belongs to it.
        horizon = hello["localTime"].replace(tzinfo=None) + _TICK
        yield MongoCut(horizon, hello.get("operationTime") if follows else None, marks, self)

    def origin(self, stream: Stream, *, watched: bool) -> Origin:
        """Return which collection this is; `watched` if the server has change streams."""
        followed = self._followed.get(stream.name)
        follows = watched and not (followed and followed.unwatchable)
        with translating_mongo(self._uri, _NAME):
            return collection_origin(self._client[stream.namespace][stream.table], follows)

    def read(self, stream: Stream, mark: Watermark | None, cut: MongoCut, folder: Path) -> Extract:
        """Writes the documents that were not staged yet, and the keys of those that are gone."""
        followed = self._followed.setdefault(stream.name, _Followed())
        followed.seen.begin()
        with writing(folder):
            reading = Reading(stream, cut.horizon, followed.seen, folder)
            with reading.documents, reading.rejects, reading.deletes, translating_mongo(self._uri, _NAME):
                if not followed.settled:
                    self._unfollow(followed)
                followed.settled = False
                mode = self._read_into(reading, followed, mark, cut)
                reading.close()
            files, rejects, deletes = reading.documents.close(), reading.rejects.close(), reading.deletes.close()
        followed.settled = not (files or rejects or deletes)
        feed = followed.feed
        return Extract(
            files,
            rejects,
            _COLUMNS,
            reading.last,
            deletes=deletes,
            mode=mode,
            position=feed.position if feed else None,
            ordered=feed is not None,
            more=feed.more if feed else False,
        )

    def read_keys(self, stream: Stream, keys: Sequence[tuple[str, ...]], below: datetime, folder: Path) -> Extract:
        """Writes the documents that have one of these keys and a cursor below that moment."""
        collection = self._client[stream.namespace].get_collection(stream.table, read_concern=ReadConcern("majority"))
        with writing(folder):
            reading = Reading(stream, below, Seen(), folder)
            with reading.documents, reading.rejects, translating_mongo(self._uri, _NAME):
                for batch in collection.find_raw_batches(with_keys(stream.key, keys), batch_size=1000):
                    for document in bson.decode_all(cast(bytes, batch), DEFAULT_RAW_BSON_OPTIONS):
                        reading.take(document, high=below)
            reading.deletes.close()
            return Extract(reading.documents.close(), reading.rejects.close(), _COLUMNS, reading.last)

    def _read_into(self, reading: Reading, followed: _Followed, mark: Watermark | None, cut: MongoCut) -> str:
        """Reads by the change stream if there is one, else by lookback; the mode."""
        stream = reading.stream
        why_not = "not a replica set" if cut.until is None else followed.unwatchable
        if cut.until and (not why_not or time.monotonic() >= followed.ask_again_at):
            try:
                again = self._read_changes(reading, followed, mark, cut)
            except Unwatchable as reason:
                why_not = str(reason)
                if why_not != followed.unwatchable:
                    log.warning(f"{stream.name}: reads by lookback: {why_not}", stream=stream.name)
                followed.unwatchable, followed.ask_again_at = why_not, time.monotonic() + _AGAIN_SECONDS
            else:
                followed.unwatchable = ""
                return f"{CHANGE_STREAM}, read again: {again}" if again else CHANGE_STREAM
        self._unfollow(followed)
        low = earlier(mark.value, stream.lookback) if mark else None
        for document in self._documents(stream, low, cut.horizon):
            reading.take(document, low, cut.horizon)
        return f"lookback: {why_not}"

    def _read_changes(self, reading: Reading, followed: _Followed, mark: Watermark | None, cut: MongoCut) -> str:
        """Reads what the stream tells since the position; where there is none to go on from, documents.

        Returns:
            Why they were read again although there was a position; empty if all is as it should be.

        Raises:
            Unwatchable: the collection has no change stream.
        """
        stream, why = reading.stream, ""
        low = earlier(mark.value, stream.lookback) if mark else None
        position = followed.feed.position if followed.feed else mark.position if mark else None
        rested, followed.read_at = cut.horizon - followed.read_at > _REST, cut.horizon
        assert cut.until
        if followed.feed or position:
            try:
                if followed.feed is None or (rested and position):
                    self._unfollow(followed)
                    followed.feed = Feed(self._client, stream, position)
                for change in followed.feed.changes(cut.until, CHANGES_A_WINDOW):
                    reading.change(change)
                if not followed.feed.ended:
                    return ""
                why, low = "the collection was dropped or renamed", None
            except PositionLost as lost:
                why, low = str(lost), None if lost.elsewhere else low
            log.warning(
                f"{stream.name}: {why}; reads the documents again {f'from {low} on' if low else 'from the first'}. What"
                " was deleted meanwhile is not known: `adventure reconcile --repair` marks it",
                stream=stream.name,
            )
        # First the stream, then the documents: what is written meanwhile is in both, and meets its key downstream.
        self._unfollow(followed)
        try:
            followed.feed = Feed(self._client, stream, None)
        except PositionLost as lost:
            raise SourceError(
                f"{stream.name}: a change stream on {stream.location} cannot even begin: {lost}", "Enlarge the oplog"
            ) from lost
        for document in self._documents(stream, low, None, followed.feed.session):
            reading.take(document, low)
        return why

    def _unfollow(self, followed: _Followed) -> None:
        feed, followed.feed = followed.feed, None
        if feed:
            feed.close()

    def _documents(
        self, stream: Stream, low: datetime | None, high: datetime | None, session: ClientSession | None = None
    ) -> Iterator[RawBSONDocument]:
        """The documents whose cursor may lie within `[low, high)`; all of them without a `low`."""
        for documents in telling(stream, self._batches(stream, low, high, session), "documents"):
            yield from documents

    def _batches(
        self, stream: Stream, low: datetime | None, high: datetime | None, session: ClientSession | None
    ) -> Iterator[list[RawBSONDocument]]:
        collection = self._client[stream.namespace].get_collection(stream.table, read_concern=ReadConcern("majority"))
        for bounds in cursor_ranges(low, high) if low else [None]:
            query = {stream.cursor: bounds} if bounds else {}
            found = collection.find_raw_batches(query, batch_size=1000, session=session)
            with reading_ahead(found, depth=BATCHES_AHEAD) as batches:
                for batch in batches:
                    yield bson.decode_all(cast(bytes, batch), DEFAULT_RAW_BSON_OPTIONS)

    def _warn(self, stream: Stream, reads: str) -> None:
        """Once: a collection that is not there yet, or has no index on the cursor."""
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
