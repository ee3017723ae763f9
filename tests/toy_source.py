"""A third kind of source, as somebody would add it: a dictionary in memory, read below the clock."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import orjson

from adventure.core.clock import utc_now
from adventure.core.errors import AdventureError, SourceError
from adventure.core.files import NdjsonParts
from adventure.core.key_kinds import KeyKind
from adventure.core.kinds import SourceKind
from adventure.core.manifest import Column
from adventure.core.row_text import RowColumn
from adventure.core.settings import Settings
from adventure.core.spans import Digest, Pieces, Span, micros
from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark
from adventure.sources.probe import Finding, KeptLog, SourceCounts, Stall, Unread
from adventure.sources.proposal import Proposal, Unmovable
from adventure.sources.side import Version
from adventure.sources.source import NOT_BEGUN, Extract

KIND = SourceKind("toy", "Toy", "tests.toy_source", documents=True)

ROWS: dict[str, datetime] = {}
"""The cursor of each key."""


def open_source(settings: Settings, retry_for: float | None) -> "ToySource":
    return ToySource()


@contextmanager
def open_side(settings: Settings, stream: Stream, *, rows: bool, mark: Watermark | None) -> "Iterator[ToySide]":
    yield ToySide()


@contextmanager
def open_probe(settings: Settings, *, brief: bool) -> "Iterator[ToyProbe]":
    yield ToyProbe()


@dataclass
class ToySnapshot:
    marks: Mapping[str, Watermark]
    horizon: datetime = field(default_factory=utc_now)
    mode: str = "horizon"
    tick: timedelta = timedelta(microseconds=1)
    unreadable: dict[str, SourceError] = field(default_factory=dict)

    def origin(self, stream: Stream) -> Origin:
        return Origin("toy")

    def end(self, stream: Stream) -> datetime:
        return self.horizon

    def extract(self, stream: Stream, folder: Path) -> Extract:
        mark = self.marks.get(stream.name)
        low = mark.value if mark else datetime.min
        return _extract({key: at for key, at in ROWS.items() if low <= at < self.horizon}, folder)

    def goes_on_after(self, error: AdventureError) -> bool:
        return True

    def extract_keys(self, stream: Stream, keys: Sequence[tuple[str, ...]], below: datetime, folder: Path) -> Extract:
        return _extract({key: ROWS[key] for (key,) in keys if key in ROWS and ROWS[key] < below}, folder)


class ToySource:
    margin = timedelta(0)

    @contextmanager
    def open_snapshot(
        self, streams: Sequence[Stream], marks: Mapping[str, Watermark], begun: Mapping[str, str] = NOT_BEGUN
    ) -> Iterator[ToySnapshot]:
        yield ToySnapshot(marks)

    def mark_staged(self, stream: Stream, floor: datetime) -> None:
        pass

    def release(self, marks: Mapping[str, Watermark]) -> list[str]:
        return []

    def close(self) -> None:
        pass


class ToySide:
    def __init__(self) -> None:
        self.key_kinds: tuple[KeyKind, ...] = ("document",)
        self.row_columns: tuple[RowColumn, ...] = ()

    def lookback(self, mark: Watermark) -> timedelta:
        return timedelta(0)

    def lag(self, mark: Watermark) -> timedelta:
        return timedelta(0)

    def lowest(self) -> int | None:
        return min(map(micros, ROWS.values()), default=None)

    def digests(self, pieces: Pieces) -> dict[int, Digest]:
        found: dict[int, Digest] = {}
        for key, cursor, _ in self._within(pieces.span):
            number = (cursor - pieces.span.low) // pieces.width
            before = found.get(number, Digest())
            hashed = int(hashlib.md5(f"{key}|{cursor}".encode()).hexdigest()[:15], 16)
            found[number] = Digest(before.rows + 1, before.hash + hashed)
        return found

    def versions(self, span: Span) -> Iterator[Sequence[Version]]:
        yield self._within(span)

    def lookup(self, keys: Sequence[tuple[str, ...]]) -> list[Version]:
        return [(key, micros(ROWS[key]), None) for (key,) in keys if key in ROWS]

    def unusable(self) -> Iterator[list[str]]:
        return iter(())

    def keyless(self) -> Iterator[list[tuple[str, int | None]]]:
        return iter(())

    def _within(self, span: Span) -> list[tuple[str, int, None]]:
        return [(key, micros(at), None) for key, at in ROWS.items() if span.low <= micros(at) < span.high]


class ToyProbe:
    def counts(self, stream: Stream, mark: Watermark | None) -> SourceCounts:
        return SourceCounts(len(ROWS), sum(mark is None or at >= mark.value for at in ROWS.values()))

    def unread(self, stream: Stream, mark: Watermark | None) -> Unread | None:
        waiting = [at for at in ROWS.values() if mark is None or at >= mark.value]
        return Unread(min(waiting)) if waiting else None

    def stall(self, older_than: timedelta) -> Stall | None:
        return None

    def propose(self) -> Iterator[Proposal | Unmovable]:
        yield Unmovable("toy", "toys are listed by hand")

    def kept_log(self) -> KeptLog | None:
        return None

    def examine(self, streams: Sequence[Stream]) -> Iterator[Finding]:
        yield from ()

    def origin(self, stream: Stream) -> Origin:
        return Origin("toy")


def _extract(rows: Mapping[str, datetime], folder: Path) -> Extract:
    with NdjsonParts(folder) as parts:
        for key, at in rows.items():
            parts.write(orjson.dumps({"id": key, "at": at.isoformat(timespec="microseconds") + "Z"}))
        files = parts.close()
    return Extract(files, None, (Column("raw", "json"),), max(rows.values(), default=None))
