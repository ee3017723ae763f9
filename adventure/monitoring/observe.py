"""Ask sources, watermarks and stages for what the rules judge. A part that fails is a fault in the result."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

from adventure.core.clock import utc_now
from adventure.core.errors import AdventureError, SourceError, SourceUnavailable
from adventure.core.manifest import Window
from adventure.core.settings import Settings
from adventure.core.stage import Stage
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.core.zones import to_utc
from adventure.destinations.warehouse import Ledger
from adventure.factory import open_probe
from adventure.monitoring.gaps import find_gaps
from adventure.monitoring.health.state import Fault, KeptLog, Lost, Observed, ObservedStream, SourceState, Stall
from adventure.processor.owner import origin_mismatch, owner_mismatch
from adventure.processor.state import read_watermarks
from adventure.sources.probe import Probe

Marks = Mapping[str, Watermark]


@dataclass(frozen=True)
class SourceSide:
    """What the sources and the watermarks show."""

    sources: tuple[SourceState, ...]
    streams: Mapping[str, ObservedStream]
    marks: Marks
    fault: Fault | None
    """Why the watermarks cannot be read."""


def fault_of(error: AdventureError) -> Fault:
    """Return the error as a part of the state."""
    return Fault(error.problem, error.remedy)


def observe_sources(settings: Settings, streams: Sequence[Stream]) -> SourceSide:
    """Ask all databases at the same time, each once for at most two seconds. The watermarks are read once."""
    names = dict.fromkeys(stream.source for stream in streams)
    with ThreadPoolExecutor(max_workers=1 + len(names)) as pool:
        marks = pool.submit(read_watermarks, settings, brief=True)
        asked = [
            pool.submit(_observe_source, settings, [s for s in streams if s.source == name], marks) for name in names
        ]
        answers = [answer.result() for answer in asked]
    sources = tuple(source for source, _ in answers)
    seen = {stream.stream: stream for _, each in answers for stream in each}
    try:
        held = marks.result()
    except SourceError as error:
        return SourceSide(sources, seen, {}, fault_of(error))
    found = {stream.name: _marked(seen[stream.name], stream, held.get(stream.name)) for stream in streams}
    return SourceSide(sources, found, held, None)


def _marked(seen: ObservedStream, stream: Stream, mark: Watermark | None) -> ObservedStream:
    return replace(seen, watermark=to_utc(mark.value, stream.zone), mode=mark.mode) if mark else seen


@dataclass
class _Faults:
    """The first fault of a source that its checks met."""

    first: Fault | None = None
    refused: dict[str, Fault] = field(default_factory=dict)

    @contextmanager
    def kept(self, stream: Stream | None = None) -> Iterator[None]:
        """Keep an error of the block, as a fault of the stream or of the whole source."""
        try:
            yield
        except AdventureError as error:
            if stream and not isinstance(error, SourceUnavailable):
                self.refused.setdefault(stream.name, fault_of(error))
            else:
                self.first = self.first or fault_of(error)


def _observe_source(
    settings: Settings, streams: Sequence[Stream], marks: "Future[dict[str, Watermark]]"
) -> tuple[SourceState, list[ObservedStream]]:
    """Ask one source, which all of these streams are read from."""
    faults, stall, kept, found = _Faults(), None, None, [ObservedStream(stream.name) for stream in streams]
    with faults.kept(), open_probe(streams[0].opens, settings, brief=True) as probe:
        with faults.kept():
            stall, kept = _stall(settings, probe), _kept(probe)
        # Watermarks that cannot be read are a fault of the state's database, not of this source.
        if marks.exception() is None:
            with faults.kept():
                found = [_observe_stream(probe, stream, marks.result(), faults) for stream in streams]
    names = tuple(stream.name for stream in streams)
    state = SourceState(streams[0].source, names, faults.first, stall, kept, streams[0].kind.name)
    return state, [replace(each, refused=faults.refused.get(each.stream)) for each in found]


def _stall(settings: Settings, probe: Probe) -> Stall | None:
    stall = probe.stall(timedelta(seconds=settings.alert_lag_sec))
    return Stall(utc_now() - stall.age, stall.blocker, stall.remedy) if stall else None


def _kept(probe: Probe) -> KeptLog | None:
    kept = probe.kept_log()
    return KeptLog(kept.slot, kept.bytes, kept.safe_bytes) if kept else None


def _observe_stream(probe: Probe, stream: Stream, marks: Marks, faults: _Faults) -> ObservedStream:
    mark, found = marks.get(stream.name), ObservedStream(stream.name)
    with faults.kept(stream):
        if first := probe.unread(stream, mark):
            found = replace(found, unread_since=first.cursor, unread_lag_sec=first.lag.total_seconds())
    with faults.kept(stream):
        if mismatch := origin_mismatch(mark, stream, probe.origin(stream)):
            found = replace(found, mismatch=fault_of(mismatch))
    return found


def observe_stages(
    streams: Sequence[Stream], side: SourceSide, stage: Stage, staged: Mapping[str, Sequence[Window]]
) -> dict[str, ObservedStream]:
    """Return the streams with what their stages add."""
    identity, found = stage.identity(), {}
    for stream in streams:
        mark, seen = side.marks.get(stream.name), side.streams[stream.name]
        mismatch = owner_mismatch(mark, stream, identity)
        found[stream.name] = replace(
            seen,
            staged=len(staged[stream.name]),
            mismatch=fault_of(mismatch) if mismatch else seen.mismatch,
        )
    return found


def lost_windows(
    streams: Sequence[Stream], marks: Marks, stage: Stage, staged: Mapping[str, Sequence[Window]], ledger: Ledger
) -> dict[str, Lost]:
    """Return, by stream, the rows below its watermark that no window covers.

    Args:
        staged: the windows of each stage, listed before the ledger is read: windows move in that direction.
    """
    spans = ledger.loaded_spans()
    ids = ledger.loaded_window_ids(mark.window_id for mark in marks.values() if mark.window_id)
    found = {}
    for stream in streams:
        mark = marks.get(stream.name)
        # Damaged windows are reported elsewhere, and the span that they cover is unknown.
        if mark is None or stage.damaged(stream.stage):
            continue
        windows = staged[stream.name]
        if gaps := find_gaps(mark, windows, spans.get(stream.name, [])):
            found[stream.name] = Lost(mark.value, ", ".join(map(str, gaps)), gaps[0].low)
        elif mark.window_id and mark.window_id not in {window.id for window in windows} | ids:
            found[stream.name] = Lost(mark.value, f"the window {mark.window_id}", mark.value)
    return found


def observed(side: SourceSide, streams: Iterable[ObservedStream], warehouse: Fault | None) -> Observed:
    """Return all of it, as of now."""
    return Observed(utc_now(), side.sources, tuple(streams), side.fault, warehouse)
