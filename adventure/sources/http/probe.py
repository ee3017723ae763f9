"""Answer the questions of `status` and `check` about an HTTP API."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from adventure.core.clock import utc_now
from adventure.core.errors import SourceError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark
from adventure.sources.http.client import ApiClient
from adventure.sources.http.endpoint import Endpoint, Page
from adventure.sources.http.records import CannotConvert, record_cursor, record_key
from adventure.sources.probe import Finding, SourceCounts, Stall, Unread
from adventure.sources.proposal import Proposal, Unmovable

_CLOCKS_DIFFER = timedelta(minutes=1)


@dataclass
class HttpProbe:
    """See `Probe`."""

    client: ApiClient

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, *, brief: bool = False) -> "Iterator[HttpProbe]":
        """Prepare requests."""
        client = ApiClient(settings, brief=brief)
        try:
            yield cls(client)
        finally:
            client.close()

    def counts(self, stream: Stream, mark: Watermark | None) -> SourceCounts:
        """Count the records; see `Probe`. All of them are read unless the API tells their number."""
        endpoint = Endpoint(self.client, stream)
        # Count records in flight first, so that writes in between cannot make them exceed the total.
        in_flight = sum(1 for _ in self._cursors(endpoint, mark.value)) if mark else None
        rows = None if stream.start else endpoint.total()
        if rows is None:
            rows = self._count(endpoint)
        return SourceCounts(rows, rows if in_flight is None else min(in_flight, rows))

    def unread(self, stream: Stream, mark: Watermark | None) -> Unread | None:
        """Return the lowest unread cursor; see `Probe`. Before the first window, it is one of the first page."""
        endpoint = Endpoint(self.client, stream)
        if mark:
            found = min(self._cursors(endpoint, mark.value), default=None)
        else:
            cursors = (_cursor(record, stream) for record in _first_page(endpoint).records)
            found = min((each for each in cursors if each and each >= (stream.start or each)), default=None)
        return None if found is None else Unread(found)

    def stall(self, older_than: timedelta) -> Stall | None:
        """Return None, because no session can hold back an API."""
        return None

    def examine(self, streams: Sequence[Stream]) -> Iterator[Finding]:
        """Yield findings; see `Probe`."""
        for stream in streams:
            try:
                yield from self._examine(stream, _first_page(Endpoint(self.client, stream)))
            except SourceError as error:
                yield Finding("error", stream.name, error.problem, error.remedy)

    def propose(self) -> Iterator[Proposal | Unmovable]:
        """Yield nothing, because an API does not list its endpoints."""
        yield from ()

    def origin(self, stream: Stream) -> Origin:
        """Return the API's address."""
        return Endpoint(self.client, stream).origin

    def _examine(self, stream: Stream, page: Page) -> Iterator[Finding]:
        rejected = 0
        for record in page.records:
            try:
                record_key(record, stream)
                record_cursor(record, stream)
            except CannotConvert as error:
                rejected, why = rejected + 1, str(error)
        if rejected:
            found = f"{rejected} of {len(page)} records of the first page would be rejected: {why}"
            yield Finding("warning", stream.name, found, "Correct cursor, key and api.time in pipeline.toml")
        else:
            yield Finding("ok", stream.name, f"{self.client.where} answers with {len(page)} records in its first page")
        if not stream.api.since:
            yield Finding(
                "warning", stream.name, "every cycle reads all records", "Set api.since if the API has such a parameter"
            )
        if abs(utc_now() - page.date) > _CLOCKS_DIFFER:
            found = f"the API's clock shows {page.date:%Y-%m-%d %H:%M:%S} UTC, and this machine's another time"
            yield Finding("warning", stream.name, found, "Set the clocks; records are read up to the API's time")

    def _cursors(self, endpoint: Endpoint, low: datetime) -> Iterator[datetime]:
        for record in endpoint.records(low):
            if (cursor := _cursor(record, endpoint.stream)) and cursor >= max(low, endpoint.stream.start or low):
                yield cursor

    def _count(self, endpoint: Endpoint) -> int:
        """Return the number of different keys, and of records without a key."""
        stream, keys, keyless = endpoint.stream, set(), 0
        for record in endpoint.records(None):
            if stream.start and (cursor := _cursor(record, stream)) and cursor < stream.start:
                continue
            try:
                keys.add(hash(record_key(record, stream)))
            except CannotConvert:
                keyless += 1
        return len(keys) + keyless


def _first_page(endpoint: Endpoint) -> Page:
    return next(endpoint.pages(None))


def _cursor(record: Any, stream: Stream) -> datetime | None:
    """Return the record's cursor; None if the processor rejects it."""
    try:
        return record_cursor(record, stream)
    except CannotConvert:
        return None
