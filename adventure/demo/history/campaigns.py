"""Generate the e-mail campaign events of the history, as documents of two feeds.

A journey is the sequence of a customer's actions after an e-mail: open, click, add to cart, order. A journey that ends
in an order has that order's customer, one of its products and its minute. From 2014 on, a newer feed reports the same
facts with other keys and spellings; during its first days both feeds report.
"""

import random
from bisect import bisect_left
from datetime import datetime, time, timedelta
from functools import cache
from math import log
from typing import NamedTuple

from adventure.demo.catalogue import Category, Product, customers, sold_products
from adventure.demo.history.draws import below, weighted
from adventure.demo.history.orders import Order

STEPS = ("email_opened", "email_clicked", "add_to_cart", "conversion")
_DAY_ONE, _DAY = datetime(2011, 1, 1), 86_400


def _seconds(moment: datetime) -> int:
    """Return a time as this module counts it: in seconds since _DAY_ONE, since datetimes are slow to add up."""
    return int((moment - _DAY_ONE).total_seconds())


NEWER_FEED_SINCE, OLDER_FEED_UNTIL = _seconds(datetime(2014, 1, 1)), _seconds(datetime(2014, 1, 4))
EVENTS = 216_801
"""Documents in both feeds together, duplicates included."""

# For each feed: the number of distinct events, and of orders that a journey led to.
_OLDER, _NEWER = (164_000, 8_775), (50_400, 4_000)
_SECOND_CONVERSIONS = 150
_CATEGORIES: tuple[Category, ...] = ("Accessories", "Bikes", "Clothing", "Components")
_TILDES = ("~", "~", " ~ ", "~ ")
_SPELLINGS = {step: (step, step, step.title(), step.upper()) for step in STEPS}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Event(NamedTuple):
    """One step of a journey."""

    at: int
    step: str
    campaign: tuple[str, str, str]
    """Segment, category, strategy."""
    customer_id: int
    product_id: int
    order_id: int | None
    """The order that the journey led to, on each of its steps."""


class _OnSale(NamedTuple):
    """A product, and the time from which and before which it is sold."""

    product_id: int
    since: int
    until: float


def campaign_documents(orders: list[Order], seed: int) -> tuple[list[bytes], list[bytes]]:
    """Return the documents of the older and of the newer feed, EVENTS in all."""
    rng = random.Random(f"{seed}:campaigns")
    journeys = _Journeys(orders, rng)
    older = journeys.events([order for order in orders if _seconds(order.order_date) < NEWER_FEED_SINCE], *_OLDER)
    newer = journeys.events([order for order in orders if _seconds(order.order_date) >= NEWER_FEED_SINCE], *_NEWER)
    newer += _second_conversions(newer, rng)
    facts = list(enumerate(sorted([*older, *newer], key=lambda event: event.at), start=1))
    in_older = [fact for fact in facts if fact[1].at < OLDER_FEED_UNTIL]
    in_newer = [fact for fact in facts if fact[1].at >= NEWER_FEED_SINCE]
    repeats = EVENTS - len(in_older) - len(in_newer)
    in_older += rng.sample(in_older, repeats // 2)
    in_newer += rng.sample(in_newer, repeats - repeats // 2)
    rng.shuffle(in_newer)
    older_documents = [_older_document(event_id, event) for event_id, event in in_older]
    draw = below(rng)
    return older_documents, [
        _newer_document(event_id, event, _TILDES[draw(4)], _SPELLINGS[event.step][draw(4)])
        for event_id, event in in_newer
    ]


class _Journeys:
    """Make journeys that agree with the orders."""

    def __init__(self, orders: list[Order], rng: random.Random) -> None:
        self.rng, self.below, self.random = rng, below(rng), rng.random
        self.order_times: dict[int, list[int]] = {}
        for order in orders:
            self.order_times.setdefault(order.customer.customer_id, []).append(_seconds(order.order_date))
        self.customers = [customer.customer_id for customer in customers()]
        self.products = {c: [_on_sale(p) for p in sold_products() if p.category == c] for c in _CATEGORIES}
        self.step_count = weighted(rng, (1, 2, 3), (0.62, 0.28, 0.10))

    def events(self, orders: list[Order], count: int, converting: int) -> list[Event]:
        """Return `count` events around the orders' times; `converting` of their journeys lead to one of the orders."""
        events: list[Event] = []
        for order in self.rng.sample(orders, converting):
            events += self._converting_journey(order)
        times = [_seconds(order.order_date) for order in orders if not order.customer.is_reseller]
        while len(events) < count:
            events += self._other_journey(times[self.below(len(times))], times[0], times[-1])
        return events[:count]

    def _converting_journey(self, order: Order) -> list[Event]:
        at, customer_id = _seconds(order.order_date), order.customer.customer_id
        product = order.lines[self.below(len(order.lines))].product
        strategy = "retargeting" if self.random() < 0.65 else "product_launch"
        campaign = (self._segment(customer_id, at), str(product.category), strategy)
        reopened = self.random() < 0.2
        events = []
        for step in (*STEPS[::-1], *STEPS[:1] * reopened):
            events.append(Event(at, step, campaign, customer_id, product.product_id, order.order_id))
            # Steps go back in time from the order: minutes between most steps, about a day before the click.
            at -= self._wait(60_000 if step == "email_clicked" else 600)
        return events

    def _other_journey(self, near: int, first: int, last: int) -> list[Event]:
        customer_id = self.customers[self.below(len(self.customers))]
        at = min(max(near + self.below(2 * _DAY + 1) - _DAY, first), last)
        category = _CATEGORIES[self.below(len(_CATEGORIES))]
        strategy = "retargeting" if self.random() < 0.45 else "product_launch"
        campaign = (self._segment(customer_id, at), category, strategy)
        product_id = self._product(category, at)
        events = []
        for step in STEPS[: self.step_count()]:
            events.append(Event(at, step, campaign, customer_id, product_id, None))
            at = min(at + self._wait(900), last)
        return events

    def _wait(self, mean: int) -> int:
        """Return how many seconds pass until the next step, exponentially distributed."""
        return int(-log(1.0 - self.random()) / (1 / mean))

    def _segment(self, customer_id: int, at: int) -> str:
        earlier = bisect_left(self.order_times.get(customer_id, ()), at)
        return "repeat_customers" if earlier else "first_time_customers"

    def _product(self, category: Category, at: int) -> int:
        """Return the id of a product of the category that is on sale then, or of any of it after five attempts."""
        products = self.products[category]
        found = products[self.below(len(products))]
        for _ in range(5):
            if found.since <= at < found.until:
                break
            found = products[self.below(len(products))]
        return found.product_id


def _on_sale(product: Product) -> _OnSale:
    since = _seconds(datetime.combine(product.sell_start, time.min))
    if product.sell_end is None:
        return _OnSale(product.product_id, since, float("inf"))
    return _OnSale(product.product_id, since, _seconds(datetime.combine(product.sell_end, time.min)) + _DAY)


def _second_conversions(events: list[Event], rng: random.Random) -> list[Event]:
    """Return some conversions again, some days later: the newer feed reports them under another id."""
    in_time = _seconds(datetime(2014, 6, 1))
    conversions = [event for event in events if event.step == "conversion" and event.at < in_time]
    again = rng.sample(conversions, _SECOND_CONVERSIONS)
    return [event._replace(at=event.at + rng.randint(1, 5) * _DAY) for event in again]


# The documents are written as text, which is faster than orjson from a dict; nothing in them needs escaping.
def _older_document(event_id: int, event: Event) -> bytes:
    at, step, campaign, customer_id, product_id, order_id = event
    return (
        f'{{"campaign_id":"{"~".join(campaign)}","customer_id":{customer_id},"event_date":"{_format_time(at)}",'
        f'"event_id":{event_id},"event_type":"{step}","order_id":{"null" if order_id is None else order_id},'
        f'"product_id":{product_id}}}'
    ).encode()


def _newer_document(event_id: int, event: Event, tilde: str, spelled: str) -> bytes:
    at, _, campaign, customer_id, product_id, order_id = event
    return (
        f'{{"campaign_id":"{tilde.join(campaign)}","EventID":{event_id},"eventDate":"{_format_time(at)}",'
        f'"eventType":"{spelled}","customer_id":{customer_id},"orderId":{"null" if order_id is None else order_id},'
        f'"ProductId":{product_id}}}'
    ).encode()


def _format_time(at: int) -> str:
    """Format as `29-May-2011 12.05 PM`, with English month names in every locale."""
    day, second = divmod(at, _DAY)
    return _format_day(day) + _format_minute(second // 60)


@cache
def _format_day(day: int) -> str:
    date = _DAY_ONE + timedelta(days=day)
    return f"{date.day:02d}-{_MONTHS[date.month - 1]}-{date.year}"


@cache
def _format_minute(minute: int) -> str:
    hour = minute // 60
    return f" {hour % 12 or 12:02d}.{minute % 60:02d} {'AM' if hour < 12 else 'PM'}"
