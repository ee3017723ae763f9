"""The shop's business: how many orders each hour brings, and what happened in the last weeks.

The volume follows the hour, the weekday and a steady growth. A backfill that covers a dashboard's 30 days also has two
events: a clothing campaign of one week, and two days in which the Australian checkout rejected every card.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from itertools import accumulate

from adventure.demo.catalogue import TERRITORIES

USUAL_ORDERS_A_DAY = 100.0
"""Orders on an average day of a shop that has no orders yet."""
DAYS_WITH_EVENTS = 30
"""A backfill of fewer days has no campaign and no outage."""
OUTAGE_TERRITORY = 9
"""Australia: its online customers could not pay on the days of the outage."""

_CAMPAIGN_BEGAN, _CAMPAIGN_DAYS, _CAMPAIGN_VOLUME = timedelta(days=20), 7, 1.45
_OUTAGE_BEGAN, _OUTAGE_DAYS = timedelta(days=6), 2
_GROWTH_A_DAY = 0.003
_WEEKDAYS = (0.86, 0.82, 0.86, 0.94, 1.08, 1.28, 1.16)
"""The volume of Monday to Sunday, as a multiple of the average day."""
_HOURS = (10, 6, 4, 3, 3, 5, 10, 20, 35, 45, 50, 55, 60, 55, 50, 50, 55, 65, 80, 90, 90, 75, 50, 25)
"""The volume of each hour of the customers' own day: most people buy in the evening."""
_UTC_OFFSET = {1: -8, 2: -5, 3: -6, 4: -8, 5: -5, 6: -7, 7: 1, 8: 1, 9: 10, 10: 0}
"""Hours that the clocks of a territory are ahead of UTC, without daylight saving time."""
_LIVE_SPREAD_DAYS = 3.0
_HOUR = timedelta(hours=1)


def activity(territory_id: int, hour: int) -> int:
    """Return how busy the customers of a territory are in an hour of the UTC day."""
    return _HOURS[(hour + _UTC_OFFSET[territory_id]) % 24]


@cache
def hour_shares() -> tuple[float, ...]:
    """Return the share of each UTC hour in a day's orders."""
    busy = [
        sum((each.online_orders + each.reseller_orders) * activity(each.territory_id, hour) for each in TERRITORIES)
        for hour in range(24)
    ]
    return tuple(each / sum(busy) for each in busy)


@dataclass(frozen=True)
class Plan:
    """The volume that the shop expects. All times are naive UTC."""

    first: date
    """The day from which the volume grows."""
    orders_a_day: float = 1.0
    """Orders on an average day, on the first day's level."""
    today: date | None = None
    """The last day of a backfill; the events lie before it. Without it there are none."""

    def is_campaign(self, day: date) -> bool:
        """Return whether the clothing campaign runs on that day."""
        return self._is_event(day, _CAMPAIGN_BEGAN, _CAMPAIGN_DAYS)

    def is_outage(self, day: date) -> bool:
        """Return whether the Australian checkout fails on that day."""
        return self._is_event(day, _OUTAGE_BEGAN, _OUTAGE_DAYS)

    def outage(self) -> tuple[datetime, datetime] | None:
        """Return the beginning and the end of the outage, if there was one."""
        if self.today is None or (self.today - self.first).days + 1 < DAYS_WITH_EVENTS:
            return None
        begun = _midnight(self.today - _OUTAGE_BEGAN)
        return begun, begun + timedelta(days=_OUTAGE_DAYS)

    def orders_on(self, day: date) -> float:
        """Return how many orders the whole day brings."""
        volume = self.orders_a_day * _WEEKDAYS[day.weekday()] * (1 + _GROWTH_A_DAY) ** (day - self.first).days
        if self.is_campaign(day):
            volume *= _CAMPAIGN_VOLUME
        return volume * (1 - _outage_share()) if self.is_outage(day) else volume

    def expected(self, since: datetime, until: datetime) -> float:
        """Return how many orders the time between two moments brings."""
        return sum(orders for _, _, orders in self._spans(since, until))

    def draw(self, rng: random.Random, since: datetime, until: datetime, count: int) -> list[datetime]:
        """Return `count` order dates between two moments, in order, where the plan expects orders."""
        spans = list(self._spans(since, until))
        bounds = list(accumulate(orders for _, _, orders in spans))
        drawn = rng.choices(spans, cum_weights=bounds, k=count) if count else []
        return sorted(begin + (end - begin) * rng.random() for begin, end, _ in drawn)

    def _spans(self, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime, float]]:
        """Yield each hour between two moments, cut to them, with the orders that it brings."""
        hour = since.replace(minute=0, second=0, microsecond=0)
        while hour < until:
            begin, end = max(hour, since), min(hour + _HOUR, until)
            yield begin, end, self.orders_on(hour.date()) * hour_shares()[hour.hour] * ((end - begin) / _HOUR)
            hour += _HOUR

    def _is_event(self, day: date, began: timedelta, days: int) -> bool:
        if self.today is None or (self.today - self.first).days + 1 < DAYS_WITH_EVENTS:
            return False
        return 0 <= (day - (self.today - began)).days < days


def recent(rng: random.Random, now: datetime) -> datetime:
    """Return a time within the last days; recent days are more likely (half of a normal distribution)."""
    while True:
        day = _midnight(now.date() - timedelta(days=int(abs(rng.gauss(0, _LIVE_SPREAD_DAYS)))))
        hour = rng.choices(range(24), hour_shares())[0]
        moment = day + timedelta(seconds=hour * 3600 + rng.randrange(3600))
        if moment <= now:
            return moment
        # Early in the day most times of today are still in the future: use the same time one or two days before.
        return moment - timedelta(days=1 + rng.randrange(2))


@cache
def _outage_share() -> float:
    """Return the share of the orders that an outage costs."""
    lost = next(each.online_orders for each in TERRITORIES if each.territory_id == OUTAGE_TERRITORY)
    return lost / sum(each.online_orders + each.reseller_orders for each in TERRITORIES)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)
