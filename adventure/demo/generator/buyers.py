"""Choose the customer of each order, so that the orders of a customer stay plausible.

The customers of a territory take turns in a fixed shuffled order, in which a loyal customer stands several times. So no
customer has many orders in a few weeks, and a restart goes on near where the last run stopped.
"""

import random
from functools import cache

from adventure.demo.catalogue import TERRITORIES, Customer, customers
from adventure.demo.generator.plan import OUTAGE_TERRITORY, activity
from adventure.demo.generator.shares import Choice, pick, weighted

_TURNS, _TURN_SHARES = (1, 2, 3, 4), (0.629, 0.295, 0.063, 0.013)
"""How often a person stands in the order of turns: the orders per person in the history."""


class Buyers:
    """The turns of the customers of each channel and territory.

    Args:
        order_number: the next order's number, which decides whose turn it is.
        online_share: the share of the online orders.
    """

    def __init__(self, seed: int | None, order_number: int, online_share: float) -> None:
        rng = random.Random(f"{seed}:buyers")
        turns: dict[tuple[bool, int], list[Customer]] = {
            (online, each.territory_id): [] for online in (True, False) for each in TERRITORIES
        }
        for customer in customers():
            # A store orders about once in two months, as each store stands in the order of turns once.
            times = 1 if customer.is_reseller else rng.choices(_TURNS, _TURN_SHARES)[0]
            turns[not customer.is_reseller, customer.territory_id] += [customer] * times
        self._turns, self._next = turns, {}
        for online, share in ((True, online_share), (False, 1 - online_share)):
            orders = [_orders(online, each.territory_id) for each in TERRITORIES]
            for each, count in zip(TERRITORIES, orders, strict=True):
                people = turns[online, each.territory_id]
                rng.shuffle(people)
                self._next[online, each.territory_id] = int(order_number * share * count / sum(orders)) % len(people)

    def choose(self, online: bool, hour: int, at: float, *, outage: bool) -> Customer:
        """Return the next customer of the channel.

        Args:
            hour: the hour of the UTC day; the territories where it is daytime are more likely.
            at: a number in [0, 1) that decides on the territory.
            outage: leave out the territory whose checkout fails.
        """
        key = online, pick(_territories(online, hour, outage), at)
        people, index = self._turns[key], self._next[key]
        self._next[key] = (index + 1) % len(people)
        return people[index]


@cache
def _territories(online: bool, hour: int, outage: bool) -> Choice:
    open_ones = [t.territory_id for t in TERRITORIES if not (outage and online and t.territory_id == OUTAGE_TERRITORY)]
    return weighted(open_ones, [_orders(online, each) * activity(each, hour) for each in open_ones])


@cache
def _orders(online: bool, territory_id: int) -> int:
    """Return the territory's orders in the history."""
    territory = next(each for each in TERRITORIES if each.territory_id == territory_id)
    return territory.online_orders if online else territory.reseller_orders
