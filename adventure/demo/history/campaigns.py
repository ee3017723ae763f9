"""Generate the e-mail campaign events of the history, as documents of two feeds.

A journey is the sequence of a customer's actions after an e-mail: open, click, add to cart, order. A journey that ends
in an order has that order's customer, one of its products and its minute. From 2014 on, a newer feed reports the same
facts with other keys and spellings; during its first days both feeds report.
"""

import random
from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import orjson

from adventure.demo.catalogue import Category, Product, customers, sold_products
from adventure.demo.history.orders import Order

STEPS = ("email_opened", "email_clicked", "add_to_cart", "conversion")
NEWER_FEED_SINCE, OLDER_FEED_UNTIL = datetime(2014, 1, 1), datetime(2014, 1, 4)
EVENTS = 216_801
"""Documents in both feeds together, duplicates included."""

# For each feed: the number of distinct events, and of orders that a journey led to.
_OLDER, _NEWER = (164_000, 8_775), (50_400, 4_000)
_SECOND_CONVERSIONS = 150
_CATEGORIES: tuple[Category, ...] = ("Accessories", "Bikes", "Clothing", "Components")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Event(NamedTuple):
    """One step of a journey."""

    date: datetime
    step: str
    campaign: tuple[str, str, str]
    """Segment, category, strategy."""
    customer_id: int
    product_id: int
    order_id: int | None
    """The order that the journey led to, on each of its steps."""


def campaign_documents(orders: list[Order], seed: int) -> tuple[list[bytes], list[bytes]]:
    """Return the documents of the older and of the newer feed, EVENTS in all."""
    rng = random.Random(f"{seed}:campaigns")
    journeys = _Journeys(orders, rng)
    older = journeys.events([order for order in orders if order.order_date < NEWER_FEED_SINCE], *_OLDER)
    newer = journeys.events([order for order in orders if order.order_date >= NEWER_FEED_SINCE], *_NEWER)
    newer += _second_conversions(newer, rng)
    facts = list(enumerate(sorted([*older, *newer], key=lambda event: event.date), start=1))
    in_older = [fact for fact in facts if fact[1].date < OLDER_FEED_UNTIL]
    in_newer = [fact for fact in facts if fact[1].date >= NEWER_FEED_SINCE]
    repeats = EVENTS - len(in_older) - len(in_newer)
    in_older += rng.sample(in_older, repeats // 2)
    in_newer += rng.sample(in_newer, repeats - repeats // 2)
    rng.shuffle(in_newer)
    return [_older_document(*fact) for fact in in_older], [_newer_document(*fact, rng) for fact in in_newer]


class _Journeys:
    """Make journeys that agree with the orders."""

    def __init__(self, orders: list[Order], rng: random.Random) -> None:
        self.rng = rng
        self.dates_of: dict[int, list[datetime]] = {}
        for order in orders:
            self.dates_of.setdefault(order.customer.customer_id, []).append(order.order_date)
        self.products = {c: [p for p in sold_products() if p.category == c] for c in _CATEGORIES}

    def events(self, orders: list[Order], count: int, converting: int) -> list[Event]:
        """Return `count` events around the orders' dates; `converting` of their journeys lead to one of the orders."""
        events: list[Event] = []
        for order in self.rng.sample(orders, converting):
            events += self._converting_journey(order)
        dates = [order.order_date for order in orders if not order.customer.is_reseller]
        while len(events) < count:
            events += self._other_journey(self.rng.choice(dates), dates[0], dates[-1])
        return events[:count]

    def _converting_journey(self, order: Order) -> Iterator[Event]:
        rng, customer_id = self.rng, order.customer.customer_id
        product = rng.choice(order.lines).product
        strategy = "retargeting" if rng.random() < 0.65 else "product_launch"
        campaign = (self._segment(customer_id, order.order_date), str(product.category), strategy)
        reopened = rng.random() < 0.2
        date = order.order_date
        for step in (*STEPS[::-1], *STEPS[:1] * reopened):
            yield Event(date, step, campaign, customer_id, product.product_id, order.order_id)
            # Steps go back in time from the order: minutes between most steps, about a day before the click.
            date -= timedelta(seconds=int(rng.expovariate(1 / (60_000 if step == "email_clicked" else 600))))

    def _other_journey(self, near: datetime, first: datetime, last: datetime) -> Iterator[Event]:
        rng = self.rng
        customer = rng.choice(customers())
        date = min(max(near + timedelta(seconds=rng.randint(-86_400, 86_400)), first), last)
        category = rng.choice(_CATEGORIES)
        strategy = "retargeting" if rng.random() < 0.45 else "product_launch"
        campaign = (self._segment(customer.customer_id, date), category, strategy)
        product = self._product(category, date)
        for step in STEPS[: rng.choices((1, 2, 3), (0.62, 0.28, 0.10))[0]]:
            yield Event(date, step, campaign, customer.customer_id, product.product_id, None)
            date = min(date + timedelta(seconds=int(rng.expovariate(1 / 900))), last)

    def _segment(self, customer_id: int, date: datetime) -> str:
        earlier = bisect_left(self.dates_of.get(customer_id, []), date)
        return "repeat_customers" if earlier else "first_time_customers"

    def _product(self, category: Category, date: datetime) -> Product:
        """Return a product of the category that is on sale that day, or any of it after five attempts."""
        found = self.rng.choice(self.products[category])
        for _ in range(5):
            if found.on_sale(date.date()):
                break
            found = self.rng.choice(self.products[category])
        return found


def _second_conversions(events: list[Event], rng: random.Random) -> list[Event]:
    """Return some conversions again, some days later: the newer feed reports them under another id."""
    conversions = [event for event in events if event.step == "conversion" and event.date.month < 6]
    again = rng.sample(conversions, _SECOND_CONVERSIONS)
    return [event._replace(date=event.date + timedelta(days=rng.randint(1, 5))) for event in again]


def _older_document(event_id: int, event: Event) -> bytes:
    return orjson.dumps(
        {
            "campaign_id": "~".join(event.campaign),
            "customer_id": event.customer_id,
            "event_date": _format_date(event.date),
            "event_id": event_id,
            "event_type": event.step,
            "order_id": event.order_id,
            "product_id": event.product_id,
        }
    )


def _newer_document(event_id: int, event: Event, rng: random.Random) -> bytes:
    tilde = rng.choice(("~", "~", " ~ ", "~ "))
    step = rng.choice((event.step, event.step, event.step.title(), event.step.upper()))
    return orjson.dumps(
        {
            "campaign_id": tilde.join(event.campaign),
            "EventID": event_id,
            "eventDate": _format_date(event.date),
            "eventType": step,
            "customer_id": event.customer_id,
            "orderId": event.order_id,
            "ProductId": event.product_id,
        }
    )


def _format_date(date: datetime) -> str:
    """Format as `29-May-2011 12.05 PM`, with English month names in every locale."""
    half = "AM" if date.hour < 12 else "PM"
    return f"{date.day:02d}-{_MONTHS[date.month - 1]}-{date.year} {date.hour % 12 or 12:02d}.{date.minute:02d} {half}"
