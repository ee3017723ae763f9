"""Detect that the server's clock was set back, by NTP, a failover or by hand. Rows then get times below the watermark.

For each stream we keep the horizon up to which it was read and the clocks at that time, in memory and, with each
window, as the watermark's position. If the server's clock has advanced less than ours, it was set back by the
difference. Rows written since then have times at or above the old horizon less that difference, so the next window
reads from there. Each later window begins at the horizon of the one before, until the clock has passed the watermark.

A transaction that is open across the step began at a time that the clock shows again later. Its start is no lower bound
of the times that it writes, so until it has ended, each window begins where the first one began.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import orjson

from adventure.core.clock import Moment
from adventure.core.watermark import Watermark
from adventure.core.zones import to_local
from adventure.sources.postgres.horizon import MARGIN, Horizon
from adventure.sources.postgres.resolution import MICROSECOND, SECOND, Resolution, whole_units

_NOTE = ", the clock was set back: read again until it passes {:%Y-%m-%d %H:%M:%S}"

_NOTE_OPEN = ", the clock was set back: read again until the transactions that were open have ended"

_KEPT = re.compile(r"\bread=(\S+)")

TOLERANCE = MARGIN / 2
"""Smaller steps back are harmless, because the horizon keeps a margin from the clock. After larger ones, read again."""

_DRIFT = 1e-4
"""Upper bound of the drift between two clocks that nobody sets, as a share of the elapsed time."""
_REPORTED = timedelta(seconds=1)
"""Report a difference as a step if it exceeds the drift by more than this."""

_UNKNOWN = timedelta(days=1)
"""The elapsed time to assume when our own clock was set back as well, so that the true one is unknown."""


@dataclass(frozen=True)
class LastRead:
    """The horizon up to which a stream was read, and the clocks at that time."""

    horizon: datetime
    """Every row with a cursor below it was read, unless the clock has been set back since."""
    clock: datetime
    """The server's clock, naive UTC."""
    asked: Moment | None
    """Our clock before we asked the server for its clock; None if unknown."""
    answered: Moment | None
    """Our clock after the server's answer; None if unknown."""
    spanning: frozenset[str] = frozenset()
    """What was open when the clock was found set back, and still is: see `Horizon.working`."""

    def to_text(self) -> str:
        """Return this as a part of the watermark's position. It has no spaces, because spaces separate the parts."""
        return f"read={orjson.dumps(self, default=sorted).decode()}"

    @classmethod
    def of(cls, mark: Watermark) -> "LastRead":
        """Parse the watermark's position. If an earlier version wrote it, use the watermark's horizon."""
        kept = _KEPT.search(mark.position or "")
        try:
            found = orjson.loads(kept[1] if kept else "")
            asked, answered = (
                Moment(datetime.fromisoformat(found[key]["wall"]), found[key]["boot"], found[key]["uptime"])
                for key in ("asked", "answered")
            )
            horizon, clock = (datetime.fromisoformat(found[key]) for key in ("horizon", "clock"))
            spanning = frozenset(found.get("spanning", ()))
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return cls(mark.horizon, mark.horizon, None, None)
        return cls(horizon, clock, asked, answered, spanning)


@dataclass(frozen=True)
class Floor:
    """The time from which a stream has to be read."""

    moment: datetime
    """No row with a time before this was written since the stream was last read."""
    behind: timedelta = timedelta(0)
    """By how much the server's clock was set back since then."""
    is_reported: bool = False
    """Whether `behind` is more than clocks drift."""


def floor_of(last: LastRead, now: Horizon) -> Floor:
    """Compare the clocks now with those at the last read, and return from where to read."""
    least = now.asked.since(last.answered) if last.answered else None
    most = now.answered.since(last.asked) if last.asked else None
    if last.clock + (least or timedelta(0)) - now.clock <= TOLERANCE:
        return Floor(last.horizon)
    behind = last.clock - now.clock + (_UNKNOWN if most is None else most)
    return Floor(last.horizon - behind, behind, most is None or behind > _REPORTED + most * _DRIFT)


@dataclass
class ClockWatch:
    """The last read of each stream of one source."""

    _last: dict[str, LastRead] = field(default_factory=dict)
    _staged_next: dict[str, LastRead] = field(default_factory=dict)

    def last(self, mark: Watermark) -> LastRead:
        """Return the stream's last read."""
        return self._last.get(mark.stream) or LastRead.of(mark)

    def read(self, stream: str, last: LastRead) -> None:
        """Note a read of the stream; it counts once `staged` is called."""
        self._staged_next[stream] = last

    def staged(self, stream: str) -> None:
        """Mark the stream's last read as staged, or as one that found nothing."""
        if stream in self._staged_next:
            self._last[stream] = self._staged_next.pop(stream)


class Floors:
    """The time from which each stream has to be read, at one horizon."""

    def __init__(self, watch: ClockWatch, now: Horizon) -> None:
        self._watch, self._now = watch, now
        self._marks: dict[str, Watermark] = {}
        self._floors: dict[str, Floor] = {}
        self._below: dict[str, timedelta] = {}
        self._spanning: dict[str, frozenset[str]] = {}
        self._notes: dict[str, str] = {}

    def add(self, mark: Watermark, unit: timedelta, read_up_to: Callable[[datetime], datetime]) -> None:
        """Compute the floor of one stream.

        Args:
            unit: how far a row's cursor can lie below the clock when the row is written: a rounding step, or a day.
            read_up_to: returns the end of a window that is read up to a horizon (UTC), in the stream's zone and at a
                whole unit of its cursor. Rows of a unit that was not over are unread, even below the watermark.
        """
        last = self._watch.last(mark)
        floor = floor_of(last, self._now)
        spanning = self._now.working if floor.behind else last.spanning & self._now.working
        self._marks[mark.stream], self._floors[mark.stream], self._spanning[mark.stream] = mark, floor, spanning
        below = mark.value - read_up_to(floor.moment)
        if below > timedelta(0):
            self._below[mark.stream] = below + unit
            goes_on = mark.value - read_up_to(last.horizon) > TOLERANCE
            note = _NOTE_OPEN if spanning and read_up_to(self._now.moment) >= mark.value else _NOTE.format(mark.value)
            self._notes[mark.stream] = note if floor.is_reported or goes_on else ""

    def below_watermark(self, stream: str) -> timedelta:
        """Return how far below its watermark the stream has to be read because the clock was set back."""
        return self._below.get(stream, timedelta(0))

    def note(self, stream: str) -> str:
        """Return the text that the mode shows while a step is not over; empty when there is none."""
        return self._notes.get(stream, "")

    def reported(self, stream: str) -> timedelta | None:
        """Return by how much the clock was set back since the last read, or None if no warning is needed."""
        floor = self._floors[stream]
        return floor.behind if floor.is_reported and self.below_watermark(stream) else None

    def position(self, stream: str, rest: str, *, is_staged: bool) -> str:
        """Note that the stream is read up to the horizon, and return the position to save with its watermark.

        Args:
            rest: the other parts of the position.
            is_staged: whether a window will be staged. A cycle without new rows keeps the old position, which still
                serves to detect later steps.
        """
        now, mark = self._now, self._marks.get(stream)
        up_to, spanning = now.moment, self._spanning.get(stream, frozenset())
        if mark:
            floor = self._floors[stream].moment
            # A session that still works on an old message lowers the horizon, but writes nothing below the last one.
            up_to = floor if spanning else max(floor, now.moment)
        last = LastRead(up_to, now.clock, now.asked, now.answered, spanning)
        self._watch.read(stream, last)
        if is_staged:
            return f"{rest} {last.to_text()}"
        self._watch.staged(stream)
        before = _KEPT.search(mark.position or "") if mark else None
        return f"{rest} {before[0]}" if before else rest


def unread_below(mark: Watermark, zone: str) -> timedelta:
    """Return how far below the watermark rows may be unread, because a step of the clock is not over."""
    resolution = Resolution.of(mark.mode)
    step = min(resolution.unit, SECOND) if resolution and not resolution.some else MICROSECOND
    read_up_to = whole_units(to_local(LastRead.of(mark).horizon, zone), step, resolution)
    return max(timedelta(0), mark.value - read_up_to)
