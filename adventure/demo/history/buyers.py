"""Assign customers to the history's orders: individuals online, and store contacts at most once a month."""

import random

from adventure.demo.catalogue import TERRITORIES, Customer, Territory, customers
from adventure.demo.history.calibration import FREQUENT_INDIVIDUALS, MONTHS, ORDERS_PER_CONTACT, ORDERS_PER_INDIVIDUAL


def online_buyers(rng: random.Random) -> list[Customer]:
    """Return a customer for each online order, shuffled; every individual orders at least once."""
    individuals = _by_territory(is_reseller=False)
    every_extra = sum(territory.online_orders - territory.individuals for territory in TERRITORIES)
    buyers: list[Customer] = []
    for territory in TERRITORIES:
        people = individuals[territory.territory_id]
        rng.shuffle(people)
        extra = _extra_orders(territory, every_extra, rng)
        buyers += people
        buyers += [person for person, orders in zip(people, extra, strict=False) for _ in range(orders)]
    rng.shuffle(buyers)
    return buyers


def _extra_orders(territory: Territory, every_extra: int, rng: random.Random) -> list[int]:
    """Return how many orders beyond the first each repeat customer of the territory places."""
    left = territory.online_orders - territory.individuals
    share = left / every_extra
    usual = [
        times - 1 for times, people in ORDERS_PER_INDIVIDUAL.items() if times > 2 for _ in range(round(people * share))
    ]
    frequent = round(FREQUENT_INDIVIDUALS * share)
    twice = round(ORDERS_PER_INDIVIDUAL[2] * share)
    left -= sum(usual)
    # Frequent customers share the orders that remain after the customers who order exactly twice.
    of_frequent = [0] * frequent
    for _ in range(left - twice if frequent else 0):
        of_frequent[rng.randrange(frequent)] += 1
    return [*of_frequent, *usual, *[1] * (left - sum(of_frequent))]


def reseller_buyers(rng: random.Random) -> list[list[Customer]]:
    """Return the customers of the reseller orders of each month in MONTHS."""
    wanted = sorted(_orders_per_contact(rng), key=lambda contact: -contact[1])
    capacity = [month.reseller_orders for month in MONTHS]
    buyers: list[list[Customer]] = [[] for _ in MONTHS]
    for index, (contact, orders) in enumerate(wanted):
        contacts_left = len(wanted) - index
        # A contact orders once a month, so a month that needs as many orders as contacts remain gets all of them.
        keys = {
            month: 2.0 if free >= contacts_left else rng.random() ** (1 / free)
            for month, free in enumerate(capacity)
            if free
        }
        for month in sorted(keys, key=lambda month: -keys[month])[:orders]:
            buyers[month].append(contact)
            capacity[month] -= 1
    return buyers


def _orders_per_contact(rng: random.Random) -> list[tuple[Customer, int]]:
    """Return how often each contact orders: ORDERS_PER_CONTACT, distributed so that each territory's total is right."""
    counts = [orders for orders, contacts in ORDERS_PER_CONTACT.items() for _ in range(contacts)]
    rng.shuffle(counts)
    contacts = _by_territory(is_reseller=True)
    dealt = {number: [counts.pop() for _ in people] for number, people in contacts.items()}
    excess = {t.territory_id: sum(dealt[t.territory_id]) - t.reseller_orders for t in TERRITORIES}
    while any(excess.values()):
        rich, poor = max(excess, key=lambda number: excess[number]), min(excess, key=lambda number: excess[number])
        _swap(dealt[rich], dealt[poor], limit=min(excess[rich], -excess[poor]))
        for territory in TERRITORIES:
            excess[territory.territory_id] = sum(dealt[territory.territory_id]) - territory.reseller_orders
    return [pair for number, people in contacts.items() for pair in zip(people, dealt[number], strict=True)]


def _swap(rich: list[int], poor: list[int], limit: int) -> None:
    """Move orders from one territory to another: swap the counts that differ most, but by at most `limit`."""
    pairs = [(ours - theirs, i, j) for i, ours in enumerate(rich) for j, theirs in enumerate(poor)]
    moved, i, j = max(pair for pair in pairs if pair[0] <= limit)
    if moved > 0:
        rich[i], poor[j] = poor[j], rich[i]
    else:
        # No pair differs by so little: move a single order instead.
        rich[rich.index(max(rich))] -= 1
        poor[poor.index(min(poor))] += 1


def _by_territory(*, is_reseller: bool) -> dict[int, list[Customer]]:
    found: dict[int, list[Customer]] = {territory.territory_id: [] for territory in TERRITORIES}
    for customer in customers():
        if customer.is_reseller == is_reseller:
            found[customer.territory_id].append(customer)
    return found
