"""Find the resolution of a stream's cursor: from its type, from its default, and from the values that were read.

`timestamp(0)` rounds; `date_trunc` and business dates truncate. A row then gets the same cursor as rows that were
committed before it, or one below the horizon at which its transaction began. There are two remedies, without loss:

- If the type rounds to a second or less, a window ends at a whole unit. Rows of a unit that is not over wait.
- If the values are coarser than the type, the last value is read again, since more rows may get it. A hash of the row
  recognises versions that were staged already, so they are not staged again.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from adventure.core.clock import earlier
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.core.zones import looking_back, to_local
from adventure.sources.postgres.horizon import FALLBACK_LOOKBACK

if TYPE_CHECKING:
    # Imported where it is used: `status` reads no rows, and the import takes longer than its queries.
    import pyarrow as pa

MICROSECOND, SECOND = timedelta(microseconds=1), timedelta(seconds=1)

A_DAY = timedelta(hours=25)
"""The longest day of a zone with daylight saving time."""

_OLD = timedelta(days=400)
"""No row gets a cursor older than this, whatever period the cursor stands for."""

TIES = timedelta(seconds=30)
"""How far below the watermark to read, to read the last value again. The watermark advances by a microsecond with each
window that only holds rows of that value, so that windows are loaded in order; 30 s leave space for many windows."""


@dataclass(frozen=True)
class _Grid:
    name: str
    unit: timedelta
    longest: timedelta
    """The longest period whose beginnings lie on this grid and not all on the next one. A cursor can lie that far below
    the time at which its row is written. A day of another zone begins at a quarter of an hour in this one."""


_GRIDS = (
    _Grid("seconds", SECOND, timedelta(seconds=10)),
    _Grid("5 seconds", timedelta(seconds=5), timedelta(seconds=60)),
    _Grid("minutes", timedelta(minutes=1), timedelta(minutes=5)),
    _Grid("5 minutes", timedelta(minutes=5), timedelta(hours=1)),
    _Grid("quarter hours", timedelta(minutes=15), A_DAY),
    _Grid("hours", timedelta(hours=1), A_DAY),
    _Grid("days", timedelta(days=1), A_DAY),
)
"""Each unit divides the next one."""

_ENOUGH = 16
"""The number of distinct values that rules out chance."""

_BY_NAME = {grid.name: grid for grid in _GRIDS}
_SHOWN = re.compile(rf"\b(some )?whole ({'|'.join(sorted(_BY_NAME, key=len, reverse=True))})\b")


@dataclass(frozen=True)
class Resolution:
    """The resolution of values that are coarser than their type."""

    name: str
    """The name of the grid: `seconds`, `days`, …"""
    some: bool = False
    """True if other values are finer: several writers, or a default beside values that the application sets."""

    def __str__(self) -> str:
        return f"{'some ' if self.some else ''}whole {self.name}"

    @property
    def unit(self) -> timedelta:
        """The distance between two neighbours on the grid."""
        return _BY_NAME[self.name].unit

    @property
    def longest(self) -> timedelta:
        """How far a cursor can lie below the time at which its row is written."""
        return _BY_NAME[self.name].longest

    @classmethod
    def of(cls, mode: str) -> "Resolution | None":
        """Parse a watermark's mode; return None if it names no resolution."""
        found = _SHOWN.search(mode)
        return cls(found[2], bool(found[1])) if found else None


DAYS = Resolution("days")
"""The resolution of dates."""


def known_resolution(mark: Watermark | None, *, is_date: bool) -> Resolution | None:
    """Return the cursor's resolution that was found when the watermark last moved; that of a date needs no rows."""
    if is_date:
        return DAYS
    return Resolution.of(mark.mode) if mark else None


class Measure:
    """Count on which grids the values of one window lie.

    Args:
        before: the resolution that was known when the window began; None if values were finer than a second.
        step: the smallest distance between two values of the cursor's type.
        last: the last value of the window before; None in a first window.
    """

    def __init__(self, before: Resolution | None, step: timedelta, last: datetime | None) -> None:
        self._before = before
        self._first = last is None
        self._base = step if before is None or before.some else max(step, before.unit)
        self._rows = self._on_milliseconds = self._read = 0
        self._on = dict.fromkeys(_BY_NAME, 0)
        self._distinct: set[int] = set()
        if last:
            import pyarrow as pa

            self._count(pa.array([last], pa.timestamp("us")))

    def add(self, cursors: "pa.Array") -> None:
        """Count these values, except NULL."""
        self._read += len(cursors) - cursors.null_count
        self._count(cursors)

    def _count(self, cursors: "pa.Array") -> None:
        import pyarrow as pa

        from adventure.core.kernels import call

        values = call("drop_null", cursors).view(pa.int64())
        self._rows += len(values)
        values = _on_grid(values, 1_000)
        self._on_milliseconds += len(values)
        for grid in _GRIDS:
            values = _on_grid(values, grid.unit // MICROSECOND)
            if not len(values):
                return
            if grid is _GRIDS[0] and len(self._distinct) < _ENOUGH:
                self._distinct.update(call("unique", values)[:_ENOUGH].to_pylist())
            self._on[grid.name] += len(values)

    @property
    def resolution(self) -> Resolution | None:
        """The coarsest grid on which all values lie, or more values than chance explains; None if values are fine.

        A few whole seconds may lie on a minute by chance. That alone does not make the resolution minutes.
        """
        if not self._read:
            return self._before
        for grid in reversed(_GRIDS):
            if self._on[grid.name] == self._rows and (self._first or self._chance(grid.unit) <= 1e-3):
                return Resolution(grid.name)
        finest = timedelta(milliseconds=1) if self._on_milliseconds == self._rows else MICROSECOND
        finest = max(finest, self._base)
        for grid in reversed(_GRIDS):
            expected = self._rows * (finest / grid.unit)
            if finest < SECOND and self._on[grid.name] >= 3 and self._on[grid.name] > 10 * expected:
                return Resolution(grid.name, some=True)
        return None

    @property
    def news(self) -> Resolution | None:
        """The resolution, if it is coarser than the known one and chance does not explain it; else None."""
        found = self.resolution
        if self._first or found is None or not self._read:
            return None
        known = self._before.longest if self._before else timedelta(0)
        return found if found.longest > known and (found.some or self._chance(found.unit) <= 1e-6) else None

    def _chance(self, unit: timedelta) -> float:
        """Return the probability that values on the known grid all lie on this one by chance."""
        return 0.0 if unit <= self._base else (self._base / unit) ** len(self._distinct)


def _on_grid(values: "pa.Array", unit: int) -> "pa.Array":
    import pyarrow as pa

    from adventure.core.kernels import call

    width = pa.scalar(unit, pa.int64())
    return call("filter", values, call("equal", call("multiply", call("divide", values, width), width), values))


def coarser(found: Resolution | None, by_default: Resolution | None) -> Resolution | None:
    """Return the resolution of the values, or that of the column's default (for some rows) if it is coarser."""
    if by_default and (found is None or found.unit < by_default.unit):
        return Resolution(by_default.name, some=True)
    return found


_DEFAULTS = (
    (r"date_trunc\('seconds?'", "seconds"),
    (r"date_trunc\('minutes?'", "minutes"),
    (r"date_trunc\('hours?'", "hours"),
    (r"date_trunc\('(days?|weeks?|months?|quarters?|years?)'|current_date|::date\b", "days"),
    (r"(current_timestamp|localtimestamp|::timestamp)\(0\)", "seconds"),
)


def of_default(expression: str | None) -> Resolution | None:
    """Return the resolution of a column's default, given as PostgreSQL prints it; None if it shows none."""
    for pattern, name in _DEFAULTS:
        if re.search(pattern, expression or "", re.IGNORECASE):
            return Resolution(name)
    return None


def step_of(typmod: int) -> timedelta:
    """Return the smallest distance between two values of `timestamp(p)`.

    Args:
        typmod: `pg_attribute.atttypmod`: p, or −1 when the type has none.
    """
    return timedelta(microseconds=10 ** (6 - typmod)) if 0 <= typmod <= 6 else MICROSECOND


def shown(mode: str, step: timedelta, resolution: Resolution | None) -> str:
    """Return the mode, with the resolution appended if it is coarse, as `status` shows it."""
    if resolution and resolution.unit >= step:
        return f"{mode}, {resolution}"
    if step == MICROSECOND:
        return mode
    return f"{mode}, whole seconds" if step == SECOND else f"{mode}, steps of {step.total_seconds():g} s"


def whole_units(horizon: datetime, step: timedelta, resolution: Resolution | None) -> datetime:
    """Return the end of the last unit that is over at the horizon.

    All values that rounding or truncation puts into that unit are set before its end. Units longer than a second do not
    wait; their last value is read again.
    """
    if resolution and not resolution.some and resolution.unit == SECOND:
        step = max(step, SECOND)
    return horizon - (horizon - datetime.min) % step


def last_value(mark: Watermark, resolution: Resolution | None, step: timedelta) -> datetime:
    """Return the largest cursor of the windows so far, as far as the watermark shows it."""
    last = earlier(mark.value, MICROSECOND)
    # Windows that only held rows of that value, or late rows, advanced the watermark by a microsecond each.
    unit = max(step, resolution.unit) if resolution and not resolution.some else step
    return last - (last - datetime.min) % unit


def lookback(
    stream: Stream, mark: Watermark | None, *, step: timedelta = MICROSECOND, horizon_unknown: bool
) -> timedelta:
    """Return how far below the watermark the next window reads, because rows in that range may not be staged yet.

    Args:
        step: the smallest distance between two values of the cursor's type. Values that the type itself rounds are not
            read again.
        horizon_unknown: whether the horizon is unknown now, or was when the watermark last moved.
    """
    writers = max(stream.lookback, FALLBACK_LOOKBACK) if horizon_unknown else stream.lookback
    if mark:
        writers = looking_back(mark.value, writers, stream.zone)
    resolution = Resolution.of(mark.mode) if mark else None
    if mark is None or resolution is None or resolution.unit <= step:
        return writers + (step if writers and step > MICROSECOND else timedelta(0))
    if writers or resolution.some:
        return writers + resolution.longest
    # The values grow with the writer's clock: each new row gets the last value, or one above it.
    age = to_local(mark.horizon, stream.zone) - mark.value
    over = age > _OLD or (resolution.longest < A_DAY and age >= resolution.longest)
    # A watermark within a unit is of the time when the values were finer.
    return timedelta(0) if over else min(TIES, resolution.unit / 2) + (mark.value - datetime.min) % resolution.unit


def lag(mark: Watermark | None) -> timedelta:
    """Return how far a cursor can lie below the time at which its row is written, by the watermark's mode."""
    resolution = Resolution.of(mark.mode) if mark else None
    return resolution.longest if resolution else timedelta(0)
