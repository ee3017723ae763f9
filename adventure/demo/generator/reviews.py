"""Make the customers' reviews of what they bought. No database is needed.

Some products are better than others: a product's quality depends on its id alone. The clothing of the campaign sells
well and is rated low, as a shop would like to notice.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from adventure.demo.catalogue import customers, sold_products
from adventure.demo.generator.opinions import add_to, write_opinion
from adventure.demo.generator.orders import Sale
from adventure.demo.generator.plan import Plan

PUBLISHED, DELETED = "published", "deleted"

REVIEW_COLUMNS = (
    "review_id", "product_id", "customer_id", "sales_order_id", "rating", "title", "body", "verified_purchase",
    "helpful_votes", "status", "created_at", "edited_at", "updated_at",
)  # fmt: skip

RATINGS = (1, 2, 3, 4, 5)
_SHARES = {
    "good": (0.04, 0.04, 0.08, 0.26, 0.58),
    "mixed": (0.09, 0.09, 0.17, 0.31, 0.34),
    "poor": (0.23, 0.19, 0.21, 0.21, 0.16),
}
"""Shares of the ratings 1 to 5 of a product of that quality: most reviews are good, and very bad ones beat bad ones."""
_QUALITIES = (0.6, 0.3, 0.1)

LINE_SHARE = 0.12
"""Share of the delivered order lines that are reviewed; resellers review nothing."""
_WITHOUT_PURCHASE = 0.08
"""Share of the reviews whose author did not buy the product here."""
_EDITED, _DELETED = 0.05, 0.02
_SHIP_AFTER = timedelta(days=7)
_FIRST_DAYS, _MEAN_DAYS, _LAST_DAYS = 2.0, 9.0, 60.0
"""Days from the shipment to the review: at least, on average on top of that, and at most."""


@dataclass(frozen=True)
class Bought:
    """One order line that may be reviewed."""

    order_id: str
    product_id: int
    customer_id: int
    order_date: datetime


@dataclass(frozen=True)
class Review:
    """A review, in the order of REVIEW_COLUMNS. Times are naive UTC."""

    review_id: str
    product_id: int
    customer_id: int
    sales_order_id: str | None
    rating: int
    title: str
    body: str
    verified_purchase: bool
    helpful_votes: int
    status: str
    created_at: datetime
    edited_at: datetime | None
    updated_at: datetime


class ReviewMaker:
    """Make reviews; the same seed and order number give the same reviews of the same sales.

    Args:
        plan: the campaign, whose clothing disappoints.
    """

    def __init__(self, seed: int | None, next_number: int, plan: Plan) -> None:
        self.rng = random.Random(None if seed is None else f"{seed}:{next_number}:reviews")
        self.plan = plan

    def review_sales(self, sales: list[Sale], now: datetime) -> list[Review]:
        """Return the reviews of sales that were written until now: after the shipment, as they stand now.

        Some of them were edited or deleted since.
        """
        rng, made = self.rng, []
        for sale in sales:
            for line in sale.lines if sale.is_online else ():
                if rng.random() >= LINE_SHARE:
                    continue
                bought = Bought(sale.order_id, int(line.split("\t")[4]), sale.customer_id, sale.order_date)
                written = sale.order_date + _SHIP_AFTER + _delay(rng)
                if written > now:
                    continue
                made.append(self._aged(self.write(bought, written, now), now))
                if rng.random() < _WITHOUT_PURCHASE:
                    made.append(self._aged(self.write_without_purchase(written, now), now))
        return made

    def write(self, bought: Bought, written: datetime, now: datetime) -> Review:
        """Return a new review of an order line.

        Args:
            now: its cursor.
        """
        rating = self._rating(bought.product_id, bought.order_date)
        return self._review(bought.product_id, bought.customer_id, bought.order_id, rating, written, now)

    def write_without_purchase(self, written: datetime, now: datetime) -> Review:
        """Return a review of a product that its author did not buy here."""
        on_sale = [each for each in sold_products() if each.sold_online and each.on_sale(written.date())]
        product, customer = self.rng.choice(on_sale), self.rng.choice(customers())
        rating = self._rating(product.product_id, written)
        return self._review(product.product_id, customer.customer_id, None, rating, written, now)

    def voted(self, review: Review, at: datetime) -> Review:
        """Return the review after one more reader found it helpful."""
        return Review(**vars(review) | {"helpful_votes": review.helpful_votes + 1, "updated_at": at})

    def edited(self, review: Review, at: datetime) -> Review:
        """Return the review as its author rewrote it: one star more or less, or an addition to the text."""
        changes = {**vars(review), "edited_at": at, "updated_at": at}
        if self.rng.random() < 0.5:
            return Review(**changes | {"body": add_to(self.rng, review.body)})
        rating = min(5, max(1, review.rating + self.rng.choice((-1, 1))))
        title, body = write_opinion(self.rng, review.product_id, rating)
        return Review(**changes | {"rating": rating, "title": title, "body": body})

    def deleted(self, review: Review, at: datetime) -> Review:
        """Return what the API keeps of a deleted review: its key, and no text."""
        return Review(**vars(review) | {"title": "", "body": "", "status": DELETED, "updated_at": at})

    def votes(self) -> int:
        """Return how many readers found a review helpful: for most of them none."""
        return int(self.rng.expovariate(0.7))

    def _aged(self, review: Review, now: datetime) -> Review:
        """Return the review as it stands after some time; its cursor stays."""
        aged = Review(**vars(review) | {"helpful_votes": self.votes()})
        if self.rng.random() < _EDITED:
            at = review.created_at + (now - review.created_at) * self.rng.random()
            aged = Review(**vars(self.edited(aged, at)) | {"updated_at": review.updated_at})
        if self.rng.random() < _DELETED:
            aged = self.deleted(aged, review.updated_at)
        return aged

    def _rating(self, product_id: int, ordered: datetime) -> int:
        disappoints = self.plan.is_campaign(ordered.date()) and product_id in _CLOTHING
        return self.rng.choices(RATINGS, _SHARES["poor" if disappoints else quality_of(product_id)])[0]

    def _review(
        self, product_id: int, customer_id: int, order_id: str | None, rating: int, written: datetime, now: datetime
    ) -> Review:
        title, body = write_opinion(self.rng, product_id, rating)
        key = str(UUID(int=self.rng.getrandbits(128), version=4))
        return Review(
            key, product_id, customer_id, order_id, rating, title, body, order_id is not None, 0, PUBLISHED,
            written, None, now,
        )  # fmt: skip


def quality_of(product_id: int) -> str:
    """Return how good the product is: good, mixed or poor."""
    return random.Random(f"quality:{product_id}").choices(tuple(_SHARES), _QUALITIES)[0]


def _delay(rng: random.Random) -> timedelta:
    return timedelta(days=min(_LAST_DAYS, _FIRST_DAYS + rng.expovariate(1 / _MEAN_DAYS)))


_CLOTHING = frozenset(each.product_id for each in sold_products() if each.category == "Clothing")
