"""Answer the questions of `status` and `check` about a MongoDB source."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark
from adventure.sources.mongo.connect import MongoDocument, connect_mongo, source_name, translating_mongo
from adventure.sources.mongo.examine import examine
from adventure.sources.mongo.origin import collection_origin, has_change_streams
from adventure.sources.mongo.propose import propose
from adventure.sources.mongo.rows import SourceDocuments
from adventure.sources.probe import Finding, KeptLog, SourceCounts, Stall, Unread
from adventure.sources.proposal import Proposal, Unmovable

if TYPE_CHECKING:
    import pymongo


@dataclass
class MongoProbe:
    """See `Probe`."""

    settings: Settings
    uri: str
    client: "pymongo.MongoClient[MongoDocument]"

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, *, brief: bool = False) -> "Iterator[MongoProbe]":
        """Connect."""
        uri = settings.mongo_conninfo
        with connect_mongo(uri, name=source_name(settings), brief=brief, silence=settings.silence_sec) as client:
            yield cls(settings, uri, client)

    def counts(self, stream: Stream, mark: Watermark | None) -> SourceCounts:
        """Count the documents; see `Probe`."""
        with translating_mongo(self.uri, source_name(self.settings)):
            documents = SourceDocuments.of(self.client, stream)
            # Count all documents first: what is inserted in between is then in flight, and nothing is missing.
            rows = documents.count()
            in_flight = sum(1 for _ in documents.between(mark.value)) if mark else rows
        return SourceCounts(rows, min(rows, in_flight))

    def unread(self, stream: Stream, mark: Watermark | None) -> Unread | None:
        """Return the lowest unread cursor; see `Probe`."""
        with translating_mongo(self.uri, source_name(self.settings)):
            cursor = SourceDocuments.of(self.client, stream).first(mark.value if mark else datetime.min)
        return None if cursor is None else Unread(cursor)

    def stall(self, older_than: timedelta) -> Stall | None:
        """Return None, because no session can hold back change streams or lookbacks."""
        return None

    def kept_log(self) -> KeptLog | None:
        """Return None, because the oplog has a size of its own."""
        return None

    def examine(self, streams: Sequence[Stream]) -> Iterator[Finding]:
        """Yield findings; see `Probe`."""
        with translating_mongo(self.uri, source_name(self.settings)):
            yield from examine(self.client, streams, source_name(self.settings).label)

    def propose(self) -> Iterator[Proposal | Unmovable]:
        """Yield proposals; see `Probe`."""
        with translating_mongo(self.uri, source_name(self.settings)):
            yield from propose(self.client, self.settings)

    def origin(self, stream: Stream) -> Origin:
        """Return the collection's UUID."""
        with translating_mongo(self.uri, source_name(self.settings)):
            return collection_origin(self.client[stream.namespace][stream.table], self._follows)

    @cached_property
    def _follows(self) -> bool:
        return has_change_streams(self.client.admin.command("hello"))
