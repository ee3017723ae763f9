"""An HTTP API as a source: each window reads the records since the watermark, less the lookback.

An API has no horizon: a record may appear late, with a cursor below the watermark. Each window reads the stream's
lookback again, and does not stage the same versions twice.

Where pages are counted, a record that changes during a read may move to the end. The records after it then move up, and
one may slip from a page that was not read yet to one that was. All pages are then read again.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from adventure.core import heartbeat
from adventure.core.clock import earlier, later, utc_now
from adventure.core.errors import AdventureError, SourceError, SourceUnavailable
from adventure.core.files import REJECTS, NdjsonFile, NdjsonParts, writing
from adventure.core.key_kinds import joined_key
from adventure.core.manifest import Column
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.http.client import ApiClient, Throttled
from adventure.sources.http.endpoint import Endpoint, Validators
from adventure.sources.http.records import CannotConvert, record_cursor, record_key, record_line, reject_of
from adventure.sources.progress import log_progress
from adventure.sources.source import Extract, SourceSnapshot

MODE = "lookback"

PASSES = 5
"""How often the pages of one window are read while records move between them."""

_COLUMNS = (Column("raw", "json"),)
_CLOCK_STEP = timedelta(seconds=1)
"""The resolution of the server's clock in an answer."""


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
        return Origin(self.source.endpoint(stream).name)

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

    def mark_staged(self, stream: Stream, floor: datetime) -> None:
        """Acknowledge that the stream's last extract was staged; see `Source`."""
        state = self._states[stream.name]
        state.deduplicator.staged(earlier(floor, stream.lookback))
        state.staged = state.pending

    @contextmanager
    def open_snapshot(self, streams: Sequence[Stream], marks: Mapping[str, Watermark]) -> Iterator[SourceSnapshot]:
        """Open a snapshot; see `Source`. It sends no request."""
        yield HttpSnapshot(marks, self)

    def read(self, stream: Stream, snapshot: HttpSnapshot, folder: Path) -> Extract:
        """Write the records that were not staged yet."""
        state = self._states.setdefault(stream.name, _StreamState())
        state.deduplicator.begin()
        state.pending = None
        mark = snapshot.marks.get(stream.name)
        low = earlier(mark.value, stream.lookback) if mark else None
        with writing(folder):
            writer = _RecordWriter(stream, low, state.deduplicator, folder)
            with writer.records, writer.rejects:
                for _ in range(PASSES):
                    if not self._read_pages(writer, state, snapshot):
                        break
                else:
                    raise SourceUnavailable(
                        f"{stream.name}: records moved between the pages in each of {PASSES} passes, so that some may"
                        " have been left out",
                        'Read by "link", "next" or "token" if the API can, or order by a member that does not change',
                    )
            files, rejects = writer.records.close(), writer.rejects.close()
        if not (files or rejects):
            state.staged = state.pending
        return Extract(files, rejects, _COLUMNS, writer.last)

    def read_keys(self, stream: Stream, keys: Sequence[tuple[str, ...]], below: datetime, folder: Path) -> Extract:
        """Write the records that have one of these keys and a cursor before `below`."""
        with writing(folder):
            writer = _RecordWriter(stream, None, Deduplicator(), folder)
            writer.horizon, writer.only = below, {joined_key(key) for key in keys}
            with writer.records, writer.rejects:
                for page in self.endpoint(stream).pages(None):
                    heartbeat.beat()
                    for record in page.records:
                        writer.write(record)
            return Extract(writer.records.close(), writer.rejects.close(), _COLUMNS, writer.last)

    def _read_pages(self, writer: "_RecordWriter", state: _StreamState, snapshot: HttpSnapshot) -> bool:
        """Read all pages once; return whether records may have moved between them."""
        stream = writer.stream
        counted = stream.api.pages in ("number", "offset")
        pages, begun = 0, None
        versions: dict[int, int] | None = {} if counted else None
        for page in log_progress(stream, self.endpoint(stream).pages(writer.low, state.staged), "records"):
            heartbeat.beat()
            if begun is None:
                begun = page.date
                # The horizon is exclusive. Add a second, so that records of this second are read.
                snapshot.horizon = writer.horizon = later(begun, _CLOCK_STEP)
            writer.begin_page(versions)
            for record in page.records:
                writer.write(record)
            pages += 1
            state.pending = page.validators
        if pages > 1 or writer.is_waiting:
            state.pending = None
        return writer.has_moved(versions)


class _RecordWriter:
    """Writes the files of one extract: records, and rejected records."""

    def __init__(self, stream: Stream, low: datetime | None, deduplicator: Deduplicator, folder: Path) -> None:
        self.stream, self.low, self.deduplicator = stream, low, deduplicator
        self.records, self.rejects = NdjsonParts(folder), NdjsonFile(folder / REJECTS)
        self.horizon = datetime.max
        self.only: set[str] | None = None
        """The keys to write; None for all."""
        self.last: datetime | None = None
        """The largest cursor below the horizon."""
        self.is_waiting = False
        """Whether a record has a cursor at or past the horizon. It is staged when the server's clock has passed it."""

    def write(self, record: Any) -> None:
        """Write or reject one record, unless it was staged already or lies outside of `[low, horizon)`."""
        try:
            cursor = record_cursor(record, self.stream)
            if self.low and cursor < self.low:
                return
            if cursor >= self.horizon:
                self.is_waiting = True
                return
            key = record_key(record, self.stream)
            if self.only is not None and key not in self.only:
                return
            line = record_line(record, self.stream, cursor)
            if self.deduplicator.is_new(key, cursor, hash(line)):
                self.records.write(line)
            self.last = max(self.last or cursor, cursor)
        except CannotConvert as error:
            reject = reject_of(record, self.stream, str(error))
            if self.only is not None and reject.key not in self.only:
                return
            if self.deduplicator.is_new(("rejected", hash(reject.line)), self.horizon, ()):
                self.rejects.write(reject.line)
        if self.last:
            self.deduplicator.forget(earlier(self.last, self.stream.lookback))
