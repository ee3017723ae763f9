"""Which rows are in the windows of a snapshot, as conditions in SQL."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from adventure.core.clock import earlier
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.sources.postgres.clock_steps import Floors
from adventure.sources.postgres.horizon import Horizon
from adventure.sources.postgres.plan import Plan, refers
from adventure.sources.postgres.relations import Relation
from adventure.sources.postgres.resolution import TIES, Resolution, known_resolution, lookback, whole_units

ROWS_A_WINDOW = 5_000_000
"""A first load or an append with more rows is staged in several windows. One that is killed reads on after the last."""

_MICROSECOND = timedelta(microseconds=1)

FIRST_LOAD = "first load"
"""In the mode of a watermark: more rows lay below the horizon when it moved."""


@dataclass(frozen=True)
class Windows:
    """The windows of all streams of a snapshot, up to one horizon."""

    horizon: Horizon
    """The horizon as the server told it, with its clock and the reason why it is unknown."""
    plans: Mapping[str, Plan]
    relations: Mapping[str, Relation]
    marks: Mapping[str, Watermark]
    floors: Floors
    ends: Mapping[str, datetime]
    """For each stream, the lowest cursor that a row may still get from the horizon on."""
    doubted: Set[str]
    """Streams whose cursor has no zone, and no row has shown it."""
    attached: Callable[[Plan, Relation, Watermark], Callable[[str], str] | None]
    """See `Reader.attached`."""

    def end(self, stream: Stream) -> datetime:
        """Return the end of the stream's window, in the zone of its cursor; see `SourceSnapshot`."""
        if stream.has_read_at:
            # A row that commits late is in the next snapshot, or named by the log, whatever the horizon was.
            return self.horizon.clock
        return whole_units(self.ends[stream.name], self.plans[stream.name].step, self.resolution(stream))

    def resolution(self, stream: Stream) -> Resolution | None:
        """Return the cursor's resolution that was found when the watermark last moved."""
        return known_resolution(self.marks.get(stream.name), is_date=self.plans[stream.name].is_date)

    def lookback(self, stream: Stream) -> timedelta:
        """Return how far below the watermark to read.

        If the horizon was unknown, the previous window may have missed open transactions, so overlap it once more.
        """
        mark, unsure = self.marks.get(stream.name), self.relations[stream.name].unsure
        if mark is None and self.plans[stream.name].is_date:
            # Remember the rows of the last day, which is read again.
            return TIES
        was_unknown = mark is not None and mark.mode.startswith("lookback")
        horizon_unknown = self.horizon.mode.startswith("lookback") or bool(unsure) or was_unknown
        usual = lookback(stream, mark, step=self.plans[stream.name].step, horizon_unknown=horizon_unknown)
        return usual + self.floors.below_watermark(stream.name)

    def is_hashed(self, stream: Stream) -> bool:
        """Return whether the cursor does not tell apart all versions of a row, so that each row gets a hash."""
        plan, known = self.plans[stream.name], self.resolution(stream)
        # Where rows below the watermark are read again, one may have changed since and have got the same coarse value.
        twice = plan.step > _MICROSECOND and self.lookback(stream) > timedelta(0)
        return twice or (known is not None and known.unit > plan.step)

    def is_first_load(self, stream: Stream) -> bool:
        """Return whether the window is one of a first load: the first one, or one after a window with more rows."""
        mark = self.marks.get(stream.name)
        return mark is None or FIRST_LOAD in mark.mode or mark.mode.startswith("reset")

    def rows(self, plan: Plan, alias: str = "t", below: datetime | None = None) -> str:
        """Return the condition for rows from the watermark, less the lookback, up to the horizon.

        Args:
            below: end the window here, within a first load. All rows below the horizon have committed, so that the next
                window goes on there, in this snapshot or in a later one.
        """
        mark = self.marks.get(plan.stream.name)
        low = earlier(mark.value, self.lookback(plan.stream)) if mark else None
        return plan.between(low, below or self.end(plan.stream), alias)

    def old_rows(self, plan: Plan, alias: str = "t") -> str | None:
        """Return the condition for rows below the window that no window held, such as those of an attached partition.

        They were committed before the partition was attached, so this snapshot sees all of them.
        """
        mark = self.marks.get(plan.stream.name)
        if mark is None or not (lies_in := self.attached(plan, self.relations[plan.stream.name], mark)):
            return None
        return f"({plan.between(None, earlier(mark.value, self.lookback(plan.stream)), alias)} and {lies_in(alias)})"

    def referred_rows(self, plan: Plan, alias: str = "t") -> str | None:
        """Return the condition for rows at or past the horizon to which staged rows refer; None if no stream refers.

        An order that was inserted below the horizon and updated above it is no longer in its window, but its lines are.
        It is staged with them, and again in the next window, since the watermark stays at the horizon. Referred rows
        below the watermark were staged before.
        """
        referring = []
        for child in self.plans.values():
            if plan.stream.name in child.stream.references:
                inner = alias + "_"
                conditions = (self.rows(child, inner), self.old_rows(child, inner), self.referred_rows(child, inner))
                staged = " or ".join(filter(None, conditions))
                referring.append(
                    f"exists (select from {child.relation} as {inner}"
                    f" where ({staged}) and {refers(child, plan, inner, alias)})"
                )
        return f"({plan.past(self.end(plan.stream), alias)} and ({' or '.join(referring)}))" if referring else None
