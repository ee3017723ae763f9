"""What a PostgreSQL source remembers from cycle to cycle."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from adventure.core.clock import earlier
from adventure.core.ids import Sample
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.sources.deduplicator import Deduplicator
from adventure.sources.postgres.baseline import Baseline
from adventure.sources.postgres.clock_steps import ClockWatch


@dataclass
class Memory:
    """What was read and staged of each stream, as far as the next cycle needs it."""

    settings: Settings
    clock: ClockWatch = field(default_factory=ClockWatch)
    samples: dict[str, tuple[Sample, ...]] = field(default_factory=dict)
    """For streams in append mode, how far ids were handed out."""
    _deduplicators: dict[str, Deduplicator] = field(default_factory=dict)
    _lookbacks: dict[str, timedelta] = field(default_factory=dict)
    _due_at: dict[str, float] = field(default_factory=dict)
    _baseline: Baseline | None = None
    _connections: ExitStack = field(default_factory=ExitStack)

    def deduplicator(self, stream: Stream, lookback: timedelta) -> Deduplicator:
        """Start an extract of the stream: return its deduplicator."""
        self._lookbacks[stream.name] = lookback
        deduplicator = self._deduplicators.setdefault(stream.name, Deduplicator())
        deduplicator.begin()
        return deduplicator

    def was_staged(self, stream: Stream, floor: datetime) -> None:
        """Note that what the stream's deduplicator saw is staged; see `Source.mark_staged`."""
        self._deduplicators[stream.name].staged(earlier(floor, self._lookbacks[stream.name]))
        self.clock.staged(stream.name)

    @property
    def baseline(self) -> Baseline:
        """What was staged of tables in snapshot mode. It is opened when it is first needed, and after an error."""
        if self._baseline is None or self._baseline.is_lost:
            self._baseline = Baseline(self.settings)
            self._connections.callback(self._baseline.close)
        return self._baseline

    def is_due(self, stream: Stream) -> bool:
        """Return whether a table in snapshot mode is to be read again."""
        return time.monotonic() >= self._due_at.get(stream.name, 0.0)

    def was_read(self, stream: Stream) -> None:
        """Note that a table in snapshot mode was read, and what was found is staged."""
        self._due_at[stream.name] = time.monotonic() + stream.interval.total_seconds()

    def close(self) -> None:
        """Close the connection to the state database."""
        self._connections.close()
