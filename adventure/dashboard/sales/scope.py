"""Which sales are looked at: days, countries, channels. Days are calendar days in UTC."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Literal

Grain = Literal["hour", "day", "week", "month"]

HOURLY_UP_TO_DAYS = 31
DAILY_UP_TO_DAYS = 1_200
"""More hours, or days, than that cannot be told apart: there are fewer pixels."""


@dataclass(frozen=True)
class Scope:
    """Sales from the first to the last day, both included. No country or channel stands for all of them."""

    first: date
    last: date
    countries: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()

    @property
    def days(self) -> int:
        """How many."""
        return (self.last - self.first).days + 1

    def before(self) -> "Scope":
        """As many days, just before."""
        return replace(self, first=self.first - timedelta(self.days), last=self.first - timedelta(1))

    def compared(self, today: date) -> tuple["Scope", "Scope"] | None:
        """What a change compares: these days and as many before, without the day that is not over and its like.

        None when no day is over.
        """
        before = self.before()
        if self.last < today:
            return self, before
        last = today - timedelta(1)
        if last < self.first:
            return None
        return replace(self, last=last), replace(before, last=before.first + (last - self.first))

    def condition(self, column: str, *, any_channel: bool = True) -> tuple[str, list[object]]:
        """SQL that holds for the scope's rows, and its values.

        Args:
            column: a day or a moment.
            any_channel: no channel of the scope stands for all rows, not for those whose channel is `any`.
        """
        terms = [f"{column} >= ? and {column} < ?"]
        values: list[object] = [_start(self.first), _start(self.last + timedelta(1))]
        channels = self.channels if any_channel or len(self.channels) == 1 else ("any",)
        for name, chosen in (("country", self.countries), ("channel", channels)):
            if chosen:
                terms.append(f"{name} in ({', '.join('?' for _ in chosen)})")
                values += chosen
        return " and ".join(terms), values


def default_grain(days: int) -> Grain:
    """Hours for a few days, then days, then weeks, months for many years."""
    if days <= 3:
        return "hour"
    if days <= 120:
        return "day"
    return "week" if days <= DAILY_UP_TO_DAYS else "month"


def possible_grains(days: int) -> Sequence[Grain]:
    """Those of which there are neither too many to see nor too few to draw."""
    grains: list[Grain] = ["hour"] if days <= HOURLY_UP_TO_DAYS else []
    grains += ["day"] if 1 < days <= DAILY_UP_TO_DAYS else []
    grains += ["week"] if days > 14 else []
    grains += ["month"] if days > 120 else []
    return grains


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)
