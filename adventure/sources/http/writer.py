"""Write the records of one extract to files: new records, and rejected records."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from adventure.core.clock import earlier
from adventure.core.files import NdjsonFile, NdjsonParts
from adventure.core.manifest import REJECTS, Column
from adventure.core.streams import Stream
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.http.batch import Batch, batch_of
from adventure.sources.http.records import CannotConvert, record_cursor, record_key, record_line, reject_of
from adventure.sources.source import Extract

_COLUMNS = (Column("raw", "json"),)


class RecordWriter:
    """The files of one extract.

    Args:
        low: records with a lower cursor are not written; None for no limit.
        remember: keep a hash of each record, so that a record of a second pass over the same pages is not written
            twice. It takes about 100 bytes a record.
    """

    def __init__(
        self, stream: Stream, low: datetime | None, deduplicator: Deduplicator, folder: Path, *, remember: bool = False
    ) -> None:
        self.stream, self.deduplicator = stream, deduplicator
        self.low = max(filter(None, (low, stream.start)), default=None)
        self.horizon = datetime.max
        self.only: set[str] | None = None
        """The keys to write; None for all."""
        self.last: datetime | None = None
        """The largest cursor below the horizon."""
        self.found = 0
        """Different records below the horizon."""
        self.is_waiting = False
        """Whether a record has a cursor at or past the horizon. It is staged when the server's clock has passed it."""
        self._records, self._rejects = NdjsonParts(folder), NdjsonFile(folder / REJECTS)
        self._seen: set[int] | None = set() if remember else None

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
        except CannotConvert as error:
            self._reject(record, str(error))
            return
        version = hash(line)
        self.last = max(self.last or cursor, cursor)
        if self._is_first(version) and self.deduplicator.is_new(key, cursor, version):
            self._records.write(line)
        self.deduplicator.forget(earlier(self.last, self.stream.lookback))

    def write_all(self, records: Sequence[Any], lines: Sequence[bytes] | None = None) -> None:
        """Write or reject each record; see `write`.

        Args:
            lines: the exact JSON text of each record, if it is known; this is several times as fast.
        """
        batch = batch_of(records, lines, self.stream) if lines and self.only is None else None
        if batch:
            self._write_batch(batch)
            return
        for record in records:
            self.write(record)

    def _write_batch(self, batch: Batch) -> None:
        """Write the batch's records, unless they were staged already or lie outside of `[low, horizon)`."""
        lowest, highest = min(batch.cursors), max(batch.cursors)
        if self.low and lowest < self.low:
            batch = batch.where([cursor >= self.low for cursor in batch.cursors])
        if highest >= self.horizon:
            self.is_waiting = True
            batch = batch.where([cursor < self.horizon for cursor in batch.cursors])
        if not batch.keys:
            return
        highest = max(batch.cursors)
        self.last = max(self.last or highest, highest)
        if self._seen is None:
            self.found += len(batch.keys)
        else:
            batch = batch.where([self._is_first(version) for version in batch.versions])
        kept = self.deduplicator.are_new(batch.keys, batch.cursors, batch.versions)
        self._records.write_lines(batch.lines if all(kept) else batch.where(kept).lines)
        self.deduplicator.forget(earlier(self.last, self.stream.lookback))

    def extract(self) -> Extract:
        """Finish the files and return them."""
        return Extract(self._records.close(), self._rejects.close(), _COLUMNS, self.last)

    def _reject(self, record: Any, reason: str) -> None:
        reject = reject_of(record, self.stream, reason)
        if self.only is not None and reject.key not in self.only:
            return
        version = hash(reject.line)
        if self._is_first(version) and self.deduplicator.is_new(("rejected", version), self.horizon, ()):
            self._rejects.write(reject.line)

    def _is_first(self, version: int) -> bool:
        """Return whether the record was not read before in this extract, as far as that is remembered."""
        if self._seen is not None:
            if version in self._seen:
                return False
            self._seen.add(version)
        self.found += 1
        return True

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._records.close()
        self._rejects.close()
