"""The server's clock may be set back: by NTP, by a failover, by hand. Rows then get times that were read already.

Each stream remembers up to where it was read and what the clocks showed then, in memory and, with each window, as the
watermark's position. A server's clock that has advanced less than ours was set back by the difference. No row written
since has a time below the horizon of then less that difference, so the next window reads again from there. From then on
each window begins at the horizon of the one before, until the clock has passed the watermark.
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

_KEPT = re.compile(r"\bread=(\S+)")

TOLERANCE = MARGIN / 2
"""A step back below it does no harm, since the horizon keeps a margin from the clock. Larger ones are read again."""

_DRIFT = 1e-4
"""Two clocks that nobody sets drift apart by less than this share of the time that passes,"""
_REPORTED = timedelta(seconds=1)
"""and a difference that is larger than this by then is reported as a step."""

_UNKNOWN = timedelta(days=1)
"""How long ago a step may have been that is noticed when our own clock was set back as well."""


@dataclass(frozen=True)
class LastRead:
    """Up to where a stream was read, and what the clocks showed then."""

    horizon: datetime
    """Every row with a cursor below it was read, unless the clock has been set back since."""
    clock: datetime
    """The server's, naive UTC."""
    asked: Moment | None
    """Our clock before the server's was asked; None where that is not known."""
    answered: Moment | None

    def to_text(self) -> str:
        """Return what the watermark's position says of it: without spaces, since other parts stand beside it."""
        return f"read={orjson.dumps(self).decode()}"

    @classmethod
    def of(cls, mark: Watermark) -> "LastRead":
        """Read the watermark's position; one of an earlier version tells only the horizon."""
        kept = _KEPT.search(mark.position or "")
        try:
            found = orjson.loads(kept[1] if kept else "")
            asked, answered = (
                Moment(datetime.fromisoformat(found[key]["wall"]), found[key]["boot"], found[key]["uptime"])
                for key in ("asked", "answered")
            )
            horizon, clock = (datetime.fromisoformat(found[key]) for key in ("horizon", "clock"))
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return cls(mark.horizon, mark.horizon, None, None)
        return cls(horizon, clock, asked, answered)


@dataclass(frozen=True)
class Floor:
    """From where a stream has to be read."""

    moment: datetime
    """No row below it was written since the stream was read last."""
    behind: timedelta = timedelta(0)
    """By how much the server's clock was set back since."""
    is_reported: bool = False
    """Whether that is more than clocks drift."""


def floor_of(last: LastRead, now: Horizon) -> Floor:
    """Compare the clocks now with those of the last time."""
    least = now.asked.since(last.answered) if last.answered else None
    most = now.answered.since(last.asked) if last.asked else None
    if last.clock + (least or timedelta(0)) - now.clock <= TOLERANCE:
        return Floor(last.horizon)
    behind = last.clock - now.clock + (_UNKNOWN if most is None else most)
    return Floor(last.horizon - behind, behind, most is None or behind > _REPORTED + most * _DRIFT)


@dataclass
class ClockWatch:
    """Up to where the streams of one source were read last."""

    _last: dict[str, LastRead] = field(default_factory=dict)
    _staged_next: dict[str, LastRead] = field(default_factory=dict)

    def last(self, mark: Watermark) -> LastRead:
        """Return up to where the stream was read last."""
        return self._last.get(mark.stream) or LastRead.of(mark)

    def read(self, stream: str, last: LastRead) -> None:
        """The stream is read up to there; counts once it is staged."""
        self._staged_next[stream] = last

    def staged(self, stream: str) -> None:
        """What was read last is staged, or was nothing."""
        if stream in self._staged_next:
            self._last[stream] = self._staged_next.pop(stream)


class Floors:
    """From where each stream has to be read at one horizon."""

    def __init__(self, watch: ClockWatch, now: Horizon) -> None:
        self._watch, self._now = watch, now
        self._marks: dict[str, Watermark] = {}
        self._floors: dict[str, Floor] = {}
        self._below: dict[str, timedelta] = {}
        self._notes: dict[str, str] = {}

    def add(self, mark: Watermark, unit: timedelta, read_up_to: Callable[[datetime], datetime]) -> None:
        """Look where a stream stands.

        Args:
            unit: how far a row's cursor can lie below the clock when it is written: rounded, or a whole day.
            read_up_to: gives where a window ends that is read up to a horizon (UTC): in the stream's zone, and at a
                whole unit of its cursor. Rows of the unit that was not over then are unread, also below the watermark.
        """
        last = self._watch.last(mark)
        floor = floor_of(last, self._now)
        self._marks[mark.stream], self._floors[mark.stream] = mark, floor
        below = mark.value - read_up_to(floor.moment)
        if below > timedelta(0):
            self._below[mark.stream] = below + unit
            goes_on = mark.value - read_up_to(last.horizon) > TOLERANCE
            self._notes[mark.stream] = _NOTE.format(mark.value) if floor.is_reported or goes_on else ""

    def below_watermark(self, stream: str) -> timedelta:
        """Return how far below its watermark the stream has to be read because the clock was set back."""
        return self._below.get(stream, timedelta(0))

    def note(self, stream: str) -> str:
        """Return what the mode says of a step that is not over; empty when there is none."""
        return self._notes.get(stream, "")

    def reported(self, stream: str) -> timedelta | None:
        """Return by how much the clock was set back since the stream was read, where that is worth a warning."""
        floor = self._floors[stream]
        return floor.behind if floor.is_reported and self.below_watermark(stream) else None

    def position(self, stream: str, rest: str, *, is_staged: bool) -> str:
        """Note that the stream is read up to the horizon, and return the position that its watermark keeps.

        Args:
            rest: what else the position tells.
            is_staged: whether a window will be staged. A cycle without new rows writes nothing, and need not: what was
                read up to with the last window tells of steps since then as well.
        """
        now, mark = self._now, self._marks.get(stream)
        # A session that works on an old message lowers the horizon, and writes nothing below the one before.
        up_to = max(self._floors[stream].moment, now.moment) if mark else now.moment
        last = LastRead(up_to, now.clock, now.asked, now.answered)
        self._watch.read(stream, last)
        if is_staged:
            return f"{rest} {last.to_text()}"
        self._watch.staged(stream)
        before = _KEPT.search(mark.position or "") if mark else None
        return f"{rest} {before[0]}" if before else rest


def unread_below(mark: Watermark, zone: str) -> timedelta:
    """Return how far below the watermark rows may not have been read yet, since a step of the clock is not over."""
    resolution = Resolution.of(mark.mode)
    step = min(resolution.unit, SECOND) if resolution and not resolution.some else MICROSECOND
    read_up_to = whole_units(to_local(LastRead.of(mark).horizon, zone), step, resolution)
    return max(timedelta(0), mark.value - read_up_to)
