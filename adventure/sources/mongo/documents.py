"""Documents on their way into files: which are new, which have to be set aside, and the keys of those that are gone.

How they were found, by a change stream or by their cursor, is the source's concern.
"""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import orjson
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument

from adventure.core.files import DELETES, REJECTS, NdjsonFile, NdjsonParts, Reject
from adventure.core.streams import Stream
from adventure.sources.deduplicator import Seen
from adventure.sources.mongo.bson_json import OPTIONS, decode, key_text, to_json
from adventure.sources.mongo.bson_walk import CannotCarry
from adventure.sources.mongo.change_stream import Change

_LENIENT = OPTIONS.with_options(unicode_decode_error_handler="replace")


class Reading:
    """What one extract gathers: documents, those that are set aside, and the keys of those that are gone."""

    def __init__(self, stream: Stream, horizon: datetime, seen: Seen, folder: Path) -> None:
        self.stream, self.horizon, self.seen = stream, horizon, seen
        self.documents = NdjsonParts(folder)
        self.rejects, self.deletes = NdjsonFile(folder / REJECTS), NdjsonFile(folder / DELETES)
        self.last: datetime | None = None
        """The largest cursor below the horizon."""
        self._gone: dict[bytes, tuple[dict[str, Any], datetime]] = {}

    def take(self, document: RawBSONDocument, low: datetime | None = None, high: datetime | None = None) -> None:
        """Writes one document, unless it was staged already, lies outside of `[low, high)`, or has to be set aside."""
        raw = bytes(document.raw)
        try:
            decoded = decode(raw)
            cursor = _moment(self.stream.cursor, decoded.get(self.stream.cursor))
            if (high and cursor >= high) or (low and cursor < low):
                return
            key = bson.encode({"": decoded.get("_id")})
            self._gone.pop(key, None)
            if self.seen.is_new(key, cursor, hash(raw)):
                self.documents.write(to_json(decoded, raw))
                # What is dated past the horizon says nothing of how far the others are.
                if cursor < self.horizon:
                    self.last = max(self.last or cursor, cursor)
        except CannotCarry as error:
            if self.seen.is_new(("set aside", hash(raw)), self.horizon, ()):
                self.rejects.write(Reject(_printed_key(raw), str(error), base64.b64encode(raw).decode()).line)
        if self.last:
            self.seen.forget(self.last - self.stream.lookback)

    def change(self, change: Change) -> None:
        """Takes the document of a change; of one that was deleted, and does not come back in this window, the key."""
        if change.document is not None:
            self.take(change.document)
            return
        try:
            key = decode(bytes(change.key.raw))
        except CannotCarry:
            # A document with such a key was set aside: nothing of it is there to be marked.
            return
        self._gone[bson.encode({"": key["_id"]})] = key, change.at

    def close(self) -> None:
        """Finishes the files.

        A deletion is dated by the server's clock, and never before the version that was staged last, whose writer's
        clock may be ahead: the later of two versions is the one that counts.
        """
        for key, (names, at) in self._gone.items():
            if any(name not in names for name in self.stream.key):
                continue
            known = self.seen.cursor_of(key)
            at = max(at, known + timedelta(microseconds=1)) if known else at
            if self.seen.is_new(key, at, "deleted"):
                line = {"key": {name: key_text(names[name]) for name in self.stream.key}, "deleted_at": at}
                self.deletes.write(orjson.dumps(line))


def _moment(name: str, value: object) -> datetime:
    """A cursor's value as naive UTC.

    Raises:
        CannotCarry: it is missing or no date, or text that is no ISO-8601 date, or a date that Python cannot hold.
    """
    moment: object = value
    if isinstance(value, DatetimeMS):
        raise CannotCarry("its cursor is a date outside of the years 1 to 9999")
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise CannotCarry(f"its cursor is text that is no ISO-8601 date: {value[:50]!r}") from error
    if not isinstance(moment, datetime):
        raise CannotCarry(f"its cursor {name} is missing, or neither a date nor text")
    try:
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except OverflowError as error:
        raise CannotCarry("its cursor is a date outside of the years 1 to 9999") from error


def _printed_key(raw: bytes) -> str:
    """For people; a document that is broken may have no key that can be read."""
    try:
        return str(bson.decode(raw, _LENIENT).get("_id"))
    except (bson.errors.BSONError, RecursionError):
        return "unknown"
