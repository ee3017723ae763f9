"""An HTTP API as a source: each window reads the records since the watermark, less the lookback.

An API has no horizon: a record may appear late, with a cursor below the watermark. Each window reads the stream's
lookback again, and does not stage the same versions twice. A record that appears later than that is missed, until
`reconcile` reads its range again. So is a deletion, unless the API keeps deleted records and marks them.

Where pages are counted, a record that changes or is deleted during a read moves the records after it, and one may slip
from a page that was not read yet to one that was. All pages are then read again.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from adventure.core.clock import earlier, later, utc_now
from adventure.core.errors import AdventureError, SourceError, SourceUnavailable
from adventure.core.files import writing
from adventure.core.key_kinds import joined_key
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.http.client import ApiClient, Throttled
from adventure.sources.http.endpoint import Endpoint, Page, Validators
from adventure.sources.http.writer import RecordWriter
from adventure.sources.progress import log_progress
from adventure.sources.source import NOT_BEGUN, Extract, SourceSnapshot

MODE = "lookback"

_DATE_AGE = timedelta(seconds=2)
"""How old the `Date` of an answer may be: it has whole seconds, and uvicorn and nginx write it once a second."""


@dataclass
class HttpSnapshot:
    """The time up to which records are read."""

    marks: Mapping[str, Watermark]
    source: "HttpSource"
    horizon: datetime = field(default_factory=utc_now)
    """This machine's clock until the first answer, then the server's."""
    mode: str = MODE
    tick: timedelta = timedelta(microseconds=1)
    unreadable: dict[str, SourceError] = field(default_factory=dict)

    def origin(self, stream: Stream) -> Origin:
        """Return the API's address; see `SourceSnapshot`."""
        return self.source.endpoint(stream).origin

    def end(self, stream: Stream) -> datetime:
        """Return the horizon itself, because cursors are in UTC."""
        return self.horizon

    def extract(self, stream: Stream, folder: Path) -> Extract:
        """Write the stream's new records as NDJSON; see `SourceSnapshot`."""
        return self.source.read(stream, self, folder)

    def goes_on_after(self, error: AdventureError) -> bool:
        """Return whether the API answers. Endpoints are read one by one, so there is nothing to undo."""
        return isinstance(error, Throttled) or not isinstance(error, SourceUnavailable)

    def extract_keys(self, stream: Stream, keys: Sequence[tuple[str, ...]], below: datetime, folder: Path) -> Extract:
        """Write the records with these keys as NDJSON, of all that the endpoint has; see `SourceSnapshot`."""
        return self.source.read_keys(stream, keys, below, folder)


@dataclass
class _StreamState:
    """The state of one stream that the source keeps from cycle to cycle."""

    deduplicator: Deduplicator = field(default_factory=Deduplicator)
    staged: Validators | None = None
    """How to ask whether anything has changed since the answer that was staged."""
    pending: Validators | None = None
    """The same for the answer that the last extract read."""


class HttpSource:
    """The API, with its connections."""

    def __init__(self, settings: Settings, retry_for: float | None = None) -> None:
        self._client = ApiClient(settings, retry_for=retry_for)
        self._states: dict[str, _StreamState] = {}

    @property
    def margin(self) -> timedelta:
        """Return zero, because records are read up to the server's time."""
        return timedelta(0)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def endpoint(self, stream: Stream) -> Endpoint:
        """Return the stream's endpoint."""
        return Endpoint(self._client, stream)

    def release(self, marks: Mapping[str, Watermark]) -> list[str]:
        """Return nothing, because an API keeps nothing for a stream."""
        return []

    def mark_staged(self, stream: Stream, floor: datetime) -> None:
        """Acknowledge that the stream's last extract was staged; see `Source`."""
        state = self._states[stream.name]
        state.deduplicator.staged(earlier(floor, stream.lookback))
        state.staged = state.pending

    @contextmanager
    def open_snapshot(
        self, streams: Sequence[Stream], marks: Mapping[str, Watermark], begun: Mapping[str, str] = NOT_BEGUN
    ) -> Iterator[SourceSnapshot]:
        """Open a snapshot; see `Source`. It sends no request."""
        yield HttpSnapshot(marks, self)

    def read(self, stream: Stream, snapshot: HttpSnapshot, folder: Path) -> Extract:
        """Write the records that were not staged yet."""
        state = self._states.setdefault(stream.name, _StreamState())
        state.deduplicator.begin()
        endpoint, mark = self.endpoint(stream), snapshot.marks.get(stream.name)
        low = earlier(mark.value, stream.lookback) if mark else None
        begun: datetime | None = None

        def pages() -> Iterator[Page]:
            return log_progress(stream, endpoint.pages(low, None if begun else state.staged), "records")

        def take(page: Page) -> None:
            nonlocal begun
            if begun is None:
                begun = page.date
                snapshot.horizon = writer.horizon = later(begun, _DATE_AGE)
            writer.write_all(page.records, page.lines)
            state.pending = page.validators

        with (
            writing(folder),
            RecordWriter(stream, low, state.deduplicator, folder, remember=endpoint.is_counted) as writer,
        ):
            endpoint.read_until_still(pages, take, lambda: writer.found)
            extract = writer.extract()
        if writer.is_waiting:
            state.pending = None
        if not extract.all_files:
            state.staged = state.pending
        return extract

    def read_keys(self, stream: Stream, keys: Sequence[tuple[str, ...]], below: datetime, folder: Path) -> Extract:
        """Write the records that have one of these keys and a cursor before `below`."""
        endpoint = self.endpoint(stream)
        with writing(folder), RecordWriter(stream, None, Deduplicator(), folder, remember=True) as writer:
            writer.horizon, writer.only = below, {joined_key(key) for key in keys}
            endpoint.read_until_still(
                lambda: endpoint.pages(None), lambda page: writer.write_all(page.records), lambda: writer.found
            )
            return writer.extract()
