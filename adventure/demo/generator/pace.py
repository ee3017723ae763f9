"""Decide how many orders a live batch has when each batch stands for some minutes of the business day."""

import random
from datetime import date, datetime, timedelta

from adventure.demo.generator.plan import Plan

_LONGEST_GAP = timedelta(days=60)


class Pace:
    """Sell as the plan expects, a number of times faster than the clock.

    The first batch catches up: it brings the usual orders of the time since the last order. When today has more orders
    than the plan expects of a whole day, the shop slows down with the square of that excess: a demo that runs for hours
    shows a good day, and not a day that makes all others invisible.

    Args:
        stands_for: the business time that a batch stands for.
        last_order: date of the last order; None if there is none.
        orders_today: orders that are dated today.
    """

    def __init__(self, plan: Plan, stands_for: timedelta, last_order: datetime | None, orders_today: int) -> None:
        self.plan, self.stands_for = plan, stands_for
        self.last_order, self.orders_today = last_order, orders_today
        self.today: date | None = None

    def draw(self, rng: random.Random, now: datetime) -> list[datetime]:
        """Return the dates of the next batch's orders, in order and after those of the last batch. It may be empty."""
        since = min(now, max(self.last_order or now - self.stands_for, now - _LONGEST_GAP))
        scaled = self.plan.expected(now, now + self.stands_for) / self._excess(now.date()) ** 2
        # A random rounding: 0.4 orders are one order in two of five batches.
        count = int(max(self.plan.expected(since, now), scaled) + rng.random())
        dates = self.plan.draw(rng, since, now, count)
        self.last_order = now
        self.orders_today += sum(each.date() == now.date() for each in dates)
        return dates

    def _excess(self, today: date) -> float:
        """Return the orders of today as a multiple of the plan for the whole day, at least 1."""
        if today != self.today:
            self.orders_today = self.orders_today if self.today is None else 0
            self.today = today
        return max(1.0, self.orders_today / self.plan.orders_on(today))
