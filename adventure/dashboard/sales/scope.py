"""The scope of the Sales page: days, countries, channels. Days are calendar days of a time zone, UTC unless chosen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

from adventure.dashboard.sales import zones

Grain = Literal["hour", "day", "week", "month"]

HOURLY_UP_TO_DAYS = 31
DAILY_UP_TO_DAYS = 1_200
"""The chart has fewer pixels than these periods have hours or days, so longer ones use a coarser grain."""


@dataclass(frozen=True)
class Scope:
    """Sales from the first to the last day, both included. Empty countries or channels mean all."""

    first: date
    last: date
    countries: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    zone: str = "UTC"
    """The time zone whose days are meant."""

    @property
    def days(self) -> int:
        """Return the number of days."""
        return (self.last - self.first).days + 1

    @property
    def chosen(self) -> tuple[str, ...]:
        """Return the chosen countries and channels."""
        return (*self.countries, *self.channels)

    def in_utc(self) -> "Scope":
        """Return the scope with the same days of UTC, for sales that are kept by days."""
        return replace(self, zone="UTC")

    def local(self, column: str) -> str:
        """Return SQL for the local time of a column with times in UTC."""
        return zones.local_sql(column, self.zone, self.first, self.last)

    def before(self) -> "Scope":
        """Return the scope with as many days, just before this one."""
        return replace(self, first=self.first - timedelta(self.days), last=self.first - timedelta(1))

    def compared(self, today: date, earliest: date | None = None) -> tuple["Scope", "Scope"] | None:
        """Return the two scopes that a change compares: these days, and as many before.

        If the last day is not over, both leave out their last day.

        Args:
            earliest: the first day with sales.

        Returns:
            None if no day is over, or if sales began after the days before.
        """
        before = self.before()
        if earliest is not None and before.first < earliest:
            return None
        if self.last < today:
            return self, before
        last = today - timedelta(1)
        if last < self.first:
            return None
        return replace(self, last=last), replace(before, last=before.first + (last - self.first))

    def condition(self, column: str, *, any_channel: bool = True) -> tuple[str, list[object]]:
        """Return an SQL condition for the scope's rows, and its bound values.

        Args:
            column: the column with a time in UTC; or with a day, in a scope of UTC.
            any_channel: without a chosen channel, select all rows. If False, select the rows whose channel is `any`.
        """
        filters, chosen = self.filters(any_channel=any_channel)
        values: list[object] = [
            zones.day_start(self.first, self.zone),
            zones.day_start(self.last + timedelta(1), self.zone),
        ]
        return f"{column} >= ? and {column} < ?{filters}", values + chosen

    def filters(self, *, any_channel: bool = True) -> tuple[str, list[object]]:
        """Return the condition without days; it begins with `and`, or is empty. See `condition`."""
        terms = ""
        values: list[object] = []
        channels = self.channels if any_channel or len(self.channels) == 1 else ("any",)
        for name, chosen in (("country", self.countries), ("channel", channels)):
            if chosen:
                terms += f" and {name} in ({', '.join('?' for _ in chosen)})"
                values += chosen
        return terms, values


def default_grain(days: int) -> Grain:
    """Return the grain that suits this many days: hours for a few, months for many years."""
    if days <= 3:
        return "hour"
    if days <= 120:
        return "day"
    return "week" if days <= DAILY_UP_TO_DAYS else "month"


def grain_in_days(days: int) -> Grain:
    """Return the grain that suits this many days, for figures that are counted by the day: no hours."""
    grain = default_grain(days)
    return "day" if grain == "hour" else grain


def days_of(start: date, grain: Grain) -> tuple[date, date]:
    """Return the first and the last day of the hour, day, week or month that begins at `start`."""
    if grain == "month":
        return start, (start.replace(day=28) + timedelta(4)).replace(day=1) - timedelta(1)
    return start, start + timedelta(6 if grain == "week" else 0)


def possible_grains(days: int) -> Sequence[Grain]:
    """Return the grains that give neither too many nor too few points for this many days."""
    grains: list[Grain] = ["hour"] if days <= HOURLY_UP_TO_DAYS else []
    grains += ["day"] if 1 < days <= DAILY_UP_TO_DAYS else []
    grains += ["week"] if days > 14 else []
    grains += ["month"] if days > 120 else []
    return grains
