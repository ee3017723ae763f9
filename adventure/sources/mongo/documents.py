"""Write documents to files: new documents, rejected documents, and the keys of deleted documents.

This module is independent of how documents are found, by a change stream or by their cursor.
"""

import base64
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import orjson
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from adventure.core.clock import earlier, later
from adventure.core.files import NdjsonFile, NdjsonParts, Reject
from adventure.core.manifest import DELETES, REJECTS
from adventure.core.streams import Stream
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.mongo.bson_json import OPTIONS, decode, document_line
from adventure.sources.mongo.bson_walk import CannotConvert
from adventure.sources.mongo.change_stream import Change
from adventure.sources.mongo.cursors import cursor_moment
from adventure.sources.mongo.keys import key_text, value_at
from adventure.sources.mongo.shape import shaped

_LENIENT = OPTIONS.with_options(unicode_decode_error_handler="replace")


class DocumentWriter:
    """Writes the files of one extract: documents, rejected documents, and the keys of deleted ones."""

    def __init__(self, stream: Stream, horizon: datetime, deduplicator: Deduplicator, folder: Path) -> None:
        self.stream, self.horizon, self.deduplicator = stream, horizon, deduplicator
        self.documents = NdjsonParts(folder)
        self.rejects, self.deletes = NdjsonFile(folder / REJECTS), NdjsonFile(folder / DELETES)
        self.last: datetime | None = None
        """The largest cursor below the horizon."""
        self._deleted: dict[bytes, tuple[dict[str, Any], datetime]] = {}

    def write(self, document: RawBSONDocument, low: datetime | None = None, high: datetime | None = None) -> None:
        """Write or reject one document, unless it was staged already or lies outside of `[low, high)`."""
        raw = bytes(document.raw)
        try:
            decoded = decode(raw)
            cursor = cursor_moment(self.stream.cursor, value_at(decoded, self.stream.cursor))
            low = max(filter(None, (low, self.stream.start)), default=None)
            if (high and cursor >= high) or (low and cursor < low):
                return
            line = document_line(decoded, raw, self.stream)
            key = bson.encode({"": decoded.get("_id")})
            self._deleted.pop(key, None)
            if self.deduplicator.is_new(key, cursor, hash(raw)):
                self.documents.write(line)
                # A cursor past the horizon does not show how far the stream was read.
                if cursor < self.horizon:
                    self.last = max(self.last or cursor, cursor)
        except CannotConvert as error:
            if self.deduplicator.is_new(("rejected", hash(raw)), self.horizon, ()):
                key_of = _key_of_reject(raw, self.stream.key)
                row = base64.b64encode(_row_of_reject(raw, self.stream)).decode()
                self.rejects.write(Reject(key_of, str(error), row).line)
        if self.last:
            self.deduplicator.forget(earlier(self.last, self.stream.lookback))

    def write_change(self, change: Change) -> None:
        """Write the changed document, or note the key of a deleted one unless it is inserted again in this window."""
        if change.document is not None:
            self.write(change.document)
            return
        try:
            key = decode(bytes(change.key.raw))
        except CannotConvert:
            # A document with such a key was rejected, so there is no row to mark as deleted.
            return
        self._deleted[bson.encode({"": key["_id"]})] = key, change.at

    def close(self) -> None:
        """Write the deletions.

        A deletion has the time of the server's clock, but always later than the last staged version, whose writer's
        clock may be ahead. Downstream, the later of two versions counts.
        """
        for key, (names, at) in self._deleted.items():
            values = {name: value_at(names, name) for name in self.stream.key}
            if None in values.values():
                continue
            known = self.deduplicator.cursor_of(key)
            at = max(at, later(known, timedelta(microseconds=1))) if known else at
            if self.deduplicator.is_new(key, at, "deleted"):
                line = {"key": {name: key_text(value) for name, value in values.items()}, "deleted_at": at}
                self.deletes.write(orjson.dumps(line))


def _row_of_reject(raw: bytes, stream: Stream) -> bytes:
    """Return what the stream reads of a rejected document; nothing if its hidden fields cannot be left out."""
    if stream.is_whole:
        return raw
    try:
        return bson.encode(shaped(bson.decode(raw, _LENIENT), stream))
    except (BSONError, RecursionError, TypeError, ValueError, OverflowError):
        return b""


def _key_of_reject(raw: bytes, names: Sequence[str]) -> str:
    """Return a rejected document's key in the form that `reconcile` looks up; `unknown` if it is unreadable."""
    try:
        document = bson.decode(raw, _LENIENT)
        return ",".join(key_text(value_at(document, name)) for name in names)
    except (BSONError, RecursionError, TypeError, ValueError):
        return "unknown"
