"""Read a collection's change stream: the writes since a position, in the server's order, with the documents.

The position holds a resume token and the identity of its collection, because some servers accept a token of another
collection.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import bson
from bson import json_util
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from adventure.core.log import get_logger
from adventure.core.streams import Stream
from adventure.sources.mongo.origin import collection_uuid
from adventure.sources.mongo.shape import condition_of, under

if TYPE_CHECKING:
    import pymongo
    from pymongo.change_stream import ChangeStream as DriverStream
    from pymongo.client_session import ClientSession

log = get_logger()

# Names of the codes: MongoDB's error_codes.yml; those of five digits are assertions of its change stream stages.
_UNAUTHORIZED = 13
_UNWATCHABLE = {
    _UNAUTHORIZED: "the user may not watch {}: grant it the actions find and changeStream",
    59: "the server has no change streams",
    115: "the server has no change streams for {}",
    166: "{} is a view",
    40324: "the server has no change streams",
    40573: "not a replica set",
}
_FELL_OFF = {136, 286, 40576}
"""CappedPositionLost, ChangeStreamHistoryLost and its older form: the oplog no longer reaches back so far."""
_UNUSABLE = {9, 260, 280, 40585, 40615, 40647, 40648, 40649}
"""FailedToParse, InvalidResumeToken, ChangeStreamFatalError and their older forms: not a token of this stream."""
SETTLE_SECONDS = 10.0
"""How long a window waits for a shard that lags."""
_PAUSE_SECONDS = 0.005
"""The pause after an empty answer."""
_TOO_LARGE = 10334
"""BSONObjectTooLarge: with a document of nearly 16 MB, the event exceeds the size limit."""

_LEAN = [{"$project": {"operationType": 1, "documentKey": 1, "clusterTime": 1, "wallTime": 1}}]


class Unwatchable(Exception):
    """Why a collection cannot be watched. Internal: the caller falls back to lookback reads."""


class PositionLost(Exception):
    """Why a change stream cannot go on from a position. Internal: the caller reads the documents again.

    Args:
        elsewhere: whether the position belongs to another collection. The watermark does not apply to this one then.
    """

    def __init__(self, why: str, *, elsewhere: bool = False) -> None:
        super().__init__(why)
        self.elsewhere = elsewhere


@dataclass(frozen=True)
class Change:
    """A change of one document."""

    key: RawBSONDocument
    """Its `_id`, and in a sharded collection the fields of the shard key."""
    document: RawBSONDocument | None
    """The current document, which may be newer than this change; None when it was deleted or is not read any more."""
    at: datetime
    """The time of the change by the server's clock; naive UTC."""


class ChangeStream:
    """The changes of one collection since a position; without a position, from now on.

    Reads in its `session` after opening see everything that was written before.

    Raises:
        Unwatchable: the collection has no change stream.
        PositionLost: the changes since the position are not available.
        OperationFailure, ConnectionFailure: the server failed.
    """

    def __init__(self, client: "pymongo.MongoClient[dict[str, Any]]", stream: Stream, position: str | None) -> None:
        self.more = False
        """True if the last call of `changes` ended at its limit."""
        self.ended = False
        """True if the collection was dropped or renamed, so that this stream has ended."""
        self._name = stream.location
        # With read concern majority, no data that we read is rolled back later.
        self._collection: pymongo.collection.Collection[Any] = client[stream.namespace].get_collection(
            stream.table, codec_options=DEFAULT_RAW_BSON_OPTIONS, read_concern=ReadConcern("majority")
        )
        self.session: ClientSession = client.start_session(causal_consistency=True)
        self._begun: Timestamp | None = None
        self._condition = condition_of(stream)
        self._lean = bool(self._condition)
        """Request events without documents and look the documents up, until the end of a window with a large one.
        With a condition, look each one up under it."""
        self._opened_at = position
        self._prefetched: RawBSONDocument | None = None
        try:
            self._open(client, position)
        except BaseException:
            self.session.end_session()
            raise

    @property
    def position(self) -> str | None:
        """The position after the last change that was read. Before the first answer it is the time of the opening."""
        if self._prefetched is not None:
            return self._opened_at
        token = self._stream.resume_token
        if token is None and self._begun is None:
            return None
        decoded = bson.decode(token.raw) if isinstance(token, RawBSONDocument) else token
        where: dict[str, Any] = {"token": decoded} if decoded else {"at": self._begun}
        return json_util.dumps({"collection": self._name, "uuid": self._uuid} | where)

    def changes(self, until: Timestamp, limit: int) -> Iterator[Change]:
        """Yield the changes since the position, up to a cluster time or slightly past it.

        An empty answer is not the end. On a sharded cluster it only means that no shard's next change is certain yet.
        The end is reached when the stream's own position is at `until`, or after SETTLE_SECONDS without a change. Later
        changes are in the next window, which continues from the position.

        Args:
            until: a cluster time. Without it, a stream that is written faster than it is read would never end.
            limit: the most changes to yield; sets `more` when there may be others.

        Raises:
            PositionLost: the server no longer has the next changes.
        """
        self.more = False
        # Stay lean if an event without its document was prefetched: its document is still to be looked up.
        if self._lean and self._prefetched is None and not self._condition:
            self._lean = False
            self._reopen()
        for _ in range(limit):
            event, self._prefetched = self._prefetched or self._next_until(until), None
            if event is None:
                return
            yield from self._change(event)
            if self.ended or event["clusterTime"] >= until:
                return
        self.more = True

    def close(self) -> None:
        """Close the stream and its session."""
        self._stream.close()
        self.session.end_session()

    def _open(self, client: "pymongo.MongoClient[dict[str, Any]]", position: str | None) -> None:
        self._uuid = collection_uuid(self._collection, self.session)
        if position is None:
            # By default a new stream may start later than the session's majority time. Writes in between would be
            # neither in the stream nor in the documents that are read after it, so name the start.
            client.admin.command("ping", session=self.session)
            self._begun = self.session.operation_time
            self._stream = self._watch(start_at_operation_time=self._begun)
        else:
            where = self._where(position)
            self._begun = where.get("start_at_operation_time")
            self._stream = self._watch(**where)
            # A server may notice only at the first batch that it cannot continue.
            self._prefetched = self._next()

    def _change(self, event: RawBSONDocument) -> Iterator[Change]:
        kind = event["operationType"]
        if kind == "invalidate":
            self.ended = True
        elif kind == "delete":
            yield Change(event["documentKey"], None, _moment(event))
        elif kind in ("insert", "update", "replace"):
            key, document = event["documentKey"], event.get("fullDocument")
            if self._lean:
                document = self._collection.find_one(under(self._condition, key), session=self.session)
            # A document that was deleted since has a delete event, which follows. One that does not fulfil the
            # condition any more has none.
            if document is not None or self._condition:
                yield Change(key, document, _moment(event))

    def _next(self) -> RawBSONDocument | None:
        try:
            return self._stream.try_next()
        except OperationFailure as error:
            if error.code != _TOO_LARGE or self._lean:
                _raise_if_lost(error)
                raise
        self._lean = True
        self._reopen()
        return self._stream.try_next()

    def _next_until(self, until: Timestamp) -> RawBSONDocument | None:
        """Return the next change, or None when the stream has reached that cluster time."""
        give_up_at = time.monotonic() + SETTLE_SECONDS
        while (event := self._next()) is None:
            reached = _cluster_time(self._stream.resume_token)
            # A token without a time comes from a server with a single log: its empty answer is the end.
            if reached is None or reached >= until:
                return None
            if time.monotonic() > give_up_at:
                log.warning(
                    f"{self._name}: its change stream has only reached {reached.as_datetime():%Y-%m-%d %H:%M:%S} UTC,"
                    " because a shard lags behind. The next window continues from there",
                )
                return None
            time.sleep(_PAUSE_SECONDS)
        return event

    def _reopen(self) -> None:
        token = self._stream.resume_token
        self._stream.close()
        # Without a token, nothing was read since the stream was opened.
        self._stream = self._watch(resume_after=token) if token else self._watch(start_at_operation_time=self._begun)

    def _watch(self, **start: Any) -> "DriverStream[Any]":
        try:
            return self._collection.watch(
                _LEAN if self._lean else None,
                full_document=None if self._lean else "updateLookup",
                # The longest that an idle cycle waits for an event.
                max_await_time_ms=1,
                batch_size=1000,
                session=self.session,
                **start,
            )
        except OperationFailure as error:
            if error.code == _TOO_LARGE and not self._lean:
                self._lean = True
                return self._watch(**start)
            if reason := _UNWATCHABLE.get(error.code or 0):
                raise Unwatchable(reason.format(self._name)) from error
            _raise_if_lost(error)
            raise

    def _where(self, position: str) -> dict[str, Any]:
        """Return how to open the stream at the position."""
        kept = json_util.loads(position)
        if kept["collection"] != self._name:
            raise PositionLost(f"its position belongs to {kept['collection']}", elsewhere=True)
        if None not in (kept["uuid"], self._uuid) and kept["uuid"] != self._uuid:
            raise PositionLost("the collection was created again, or is on another server", elsewhere=True)
        return {"resume_after": kept["token"]} if "token" in kept else {"start_at_operation_time": kept["at"]}


def _cluster_time(token: Any) -> Timestamp | None:
    """Return the cluster time in a resume token; None if it has none.

    A token's `_data` is a key string in hexadecimal digits, which begins with a timestamp: the type 0x82, then its
    seconds and its increment (MongoDB's src/mongo/db/pipeline/resume_token.cpp and key_string.h).
    """
    data = token.get("_data") if token else None
    if not isinstance(data, str) or not re.match("82[0-9A-Fa-f]{16}", data):
        return None
    return Timestamp(int(data[2:10], 16), int(data[10:18], 16))


def _moment(event: RawBSONDocument) -> datetime:
    """Return the event's wall time (MongoDB 6.0 and later), else the end of the second of its cluster time."""
    if "wallTime" in event:
        return event["wallTime"]  # type: ignore[no-any-return]
    return event["clusterTime"].as_datetime().replace(tzinfo=None) + timedelta(seconds=1)  # type: ignore[no-any-return]


def _raise_if_lost(error: OperationFailure) -> None:
    """Raise PositionLost if the server's error means that."""
    if error.code in _FELL_OFF:
        raise PositionLost("its position fell off the oplog") from error
    if error.code in _UNUSABLE:
        said = (error.details or {}).get("errmsg", error)
        raise PositionLost(f"the server cannot go on from its position: {said}") from error
