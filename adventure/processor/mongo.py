"""MongoDB as a source: bounded ranges of the indexed cursor, read again for the stream's lookback.

There is no horizon here: a document may arrive with a cursor below the watermark, as late as its writer is. What the
lookback reads again is not staged again. The cursor is a date, or ISO-8601 text in UTC in older documents; each kind
is a range of its own, since one `$or` over both would scan the collection.
"""

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import bson
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from pymongo.read_concern import ReadConcern

from adventure.connect import connect_mongo, translating_mongo
from adventure.errors import SourceError
from adventure.log import get_logger
from adventure.processor.bson_json import CannotCarry, decode, to_json
from adventure.processor.files import LocalFile, NdjsonFile, Reject, write_rejects, writing
from adventure.processor.seen import Seen
from adventure.processor.source import Cut, Extract
from adventure.processor.state import Watermark
from adventure.settings import Settings
from adventure.stage.manifest import Column
from adventure.streams import Stream

_NAME = "the source of the documents"
_COLUMNS = (Column("raw", "json"),)
_TICK = timedelta(milliseconds=1)

log = get_logger()


@dataclass
class MongoCut:
    """The server's time."""

    horizon: datetime
    marks: Mapping[str, Watermark]
    source: "MongoSource"
    unfit: dict[str, SourceError] = field(default_factory=dict)
    mode: str = "lookback"
    tick: timedelta = _TICK

    def extract(self, stream: Stream, folder: Path) -> Extract:
        """The stream's documents as NDJSON; see `Cut`."""
        mark = self.marks.get(stream.name)
        return self.source.read(stream, mark.value - stream.lookback if mark else None, self.horizon, folder)


@dataclass
class _Reading:
    """What one extract has gathered so far."""

    file: NdjsonFile
    rejects: list[Reject] = field(default_factory=list)
    last: datetime | None = None

    def reject(self, document: RawBSONDocument, reason: str) -> None:
        """Sets a document aside, whole."""
        try:
            key = str(document.get("_id"))
        except (bson.errors.BSONError, UnicodeDecodeError):
            key = "unknown"
        self.rejects.append(Reject(key, reason, base64.b64encode(document.raw).decode()))


class MongoSource:
    """The server that holds the documents."""

    def __init__(self, settings: Settings) -> None:
        self._uri = settings.mongo_conninfo
        self._client = connect_mongo(self._uri, name=_NAME)
        self._seen: dict[str, Seen] = {}
        self._warned: set[str] = set()

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def remember(self, stream: Stream, floor: datetime) -> None:
        """The last extract of the stream is staged; see `Source`."""
        self._seen[stream.name].staged(floor - stream.lookback)

    @contextmanager
    def cut(self, streams: Sequence[Stream], marks: Mapping[str, Watermark]) -> Iterator[Cut]:
        """Everything up to the server's time."""
        with translating_mongo(self._uri, _NAME):
            for stream in streams:
                self._warn(stream)
            now: datetime = self._client.admin.command("hello")["localTime"]
        # Exclusive: a document of this very millisecond belongs to it.
        yield MongoCut(now.replace(tzinfo=None) + _TICK, marks, self)

    def read(self, stream: Stream, low: datetime | None, horizon: datetime, folder: Path) -> Extract:
        """Writes the documents with `low <= cursor < horizon` that were not staged yet into one NDJSON file."""
        seen = self._seen.setdefault(stream.name, Seen())
        seen.begin()
        with writing(folder), NdjsonFile(folder / "part-00000.ndjson.gz") as file:
            reading = _Reading(file)
            with translating_mongo(self._uri, _NAME):
                if low is None:
                    self._set_aside_without_cursor(stream, reading)
                for bounds in _ranges(low, horizon):
                    for document in self._documents(stream, bounds):
                        _take(stream, document, low, horizon, seen, reading)
            written = file.close()
        files: tuple[LocalFile, ...] = (written,) if written.rows else ()
        with writing(folder):
            rejects = write_rejects(folder, reading.rejects)
        # Set aside for the lack of a cursor alone, they still make a window.
        last = reading.last or (horizon - _TICK if rejects else None)
        return Extract(files, rejects, _COLUMNS, last)

    def _documents(self, stream: Stream, bounds: dict[str, Any]) -> Iterator[RawBSONDocument]:
        """The documents whose cursor lies within the bounds, one by one, read in raw batches."""
        collection = self._client[stream.namespace].get_collection(stream.table, read_concern=ReadConcern("majority"))
        told, read = time.monotonic(), 0
        for batch in collection.find_raw_batches({stream.cursor: bounds}, batch_size=1000):
            documents = bson.decode_all(cast(bytes, batch), DEFAULT_RAW_BSON_OPTIONS)
            yield from documents
            read += len(documents)
            if time.monotonic() - told > 2:
                told = time.monotonic()
                log.info(f"{stream.name}: {read:,} documents read", stream=stream.name, rows=read)

    def _set_aside_without_cursor(self, stream: Stream, reading: _Reading) -> None:
        """In the first window, which reads everything anyway: no later range would ever find them."""
        reason = f"its cursor {stream.cursor} is missing, or neither a date nor text"
        for document in self._documents(stream, {"$not": {"$type": ["date", "string"]}}):
            reading.reject(document, reason)

    def _warn(self, stream: Stream) -> None:
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
                f"{stream.name}: {stream.location} has no index on {stream.cursor}: every cycle reads the whole"
                f' collection. db.{stream.table}.createIndex({{"{stream.cursor}": 1}})',
                stream=stream.name,
            )


def _ranges(low: datetime | None, horizon: datetime) -> Iterator[dict[str, Any]]:
    """Dates, and text with a `T` or a blank between day and time, to the second: `_take` looks closer."""
    yield {"$gte": low, "$lt": horizon} if low else {"$lt": horizon}
    above = horizon + timedelta(seconds=1)
    if low is None:
        yield {"$gte": "", "$lt": above.isoformat("T", "seconds")}
        return
    for separator in ("T", " "):
        yield {"$gte": low.isoformat(separator, "seconds"), "$lt": above.isoformat(separator, "seconds")}


def _take(
    stream: Stream, document: RawBSONDocument, low: datetime | None, horizon: datetime, seen: Seen, reading: _Reading
) -> None:
    """Writes one document, unless it was staged already, lies outside of the window, or has to be set aside."""
    try:
        raw = bytes(document.raw)
        decoded = decode(raw)
        cursor = _moment(decoded[stream.cursor])
        if cursor >= horizon or (low and cursor < low):
            return
        key = bson.encode({"": decoded["_id"]})
        if seen.is_new(key, cursor, hash(raw)):
            reading.last = max(reading.last or cursor, cursor)
            reading.file.write(to_json(decoded, raw))
    except CannotCarry as error:
        if seen.is_new(document.raw, horizon, hash(document.raw)):
            reading.reject(document, str(error))


def _moment(value: object) -> datetime:
    """A cursor's value as naive UTC.

    Raises:
        CannotCarry: text that is no ISO-8601 date, or a date that Python cannot hold.
    """
    moment: object = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise CannotCarry(f"its cursor is text that is no ISO-8601 date: {value[:50]!r}") from error
    if not isinstance(moment, datetime):
        raise CannotCarry("its cursor is a date outside of the years 1 to 9999")
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
