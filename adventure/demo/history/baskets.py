"""Generate the lines of the history's orders: products, quantities, prices and discounts."""

import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import accumulate
from math import log

from adventure.demo.catalogue import Product, sold_products
from adventure.demo.history.calibration import (
    CLOTHING_SHARE,
    FULL_RANGE_SINCE,
    MAX_ONLINE_LINES,
    MAX_QUANTITY,
    MAX_RESELLER_LINES,
    MOST_RESELLER_LINES,
    OFFER_DISCOUNTS,
    ONLINE_LINES,
    RESELLER_APPETITE,
    RESELLER_CATEGORIES,
    RESELLER_CHEAP,
    RESELLER_LINES,
    RESELLER_PRICES,
    RESELLER_QUANTITY,
    RESELLER_QUANTITY_DECAY,
    VOLUME_DISCOUNTS,
    Month,
)
from adventure.demo.history.draws import weighted


@dataclass(slots=True)
class Line:
    """A line of an order. Amounts are integers, so that sums are exact."""

    product: Product
    quantity: int = 1
    discount: int = 0
    """Per cent."""
    price_share: int = 100
    """Per cent of the list price."""

    @property
    def price(self) -> int:
        """Return the unit price in ten-thousandths of a dollar."""
        return _list_cents()[self.product.product_id] * self.price_share


@cache
def _list_cents() -> dict[int, int]:
    """Return the list price of each product in cents, which is slow to compute from a decimal."""
    return {product.product_id: int(product.list_price * 100) for product in sold_products()}


def online_baskets(month: Month, rng: random.Random) -> list[list[Line]]:
    """Return the lines of the month's online orders, unsorted.

    `online_bikes` of the orders contain a bicycle; all have `online_lines` lines together. Individuals buy one piece
    of each product at the list price.
    """
    sizes = _sizes(
        rng,
        month.online_orders,
        month.online_lines,
        draw=weighted(rng, [count for count, _ in ONLINE_LINES], [share for _, share in ONLINE_LINES]),
        limit=MAX_ONLINE_LINES,
    )
    with_bike = [True] * month.online_bikes + [False] * (month.online_orders - month.online_bikes)
    rng.shuffle(with_bike)
    on_sale = [product for product in sold_products() if product.sold_online and product.on_sale(month.last_day)]
    # While only bicycles were sold, customers preferred expensive ones. Of everything else, cheap products sell best.
    bikes = _Shelf(on_sale, "Bikes", 0.5 if (month.year, month.month) >= FULL_RANGE_SINCE else 1.0)
    clothing, accessories = (_Shelf(on_sale, category, -0.5) for category in ("Clothing", "Accessories"))
    baskets = []
    for size, bike in zip(sizes, with_bike, strict=True):
        basket = {product.product_id: product for product in [bikes.pick(rng)] * bike}
        while len(basket) < size:
            shelf = clothing if rng.random() < CLOTHING_SHARE else accessories
            product = shelf.pick(rng)
            basket[product.product_id] = product
        baskets.append([Line(product) for product in basket.values()])
    return baskets


def reseller_baskets(month: Month, rng: random.Random) -> list[list[Line]]:
    """Return the lines of the month's reseller orders, unsorted, `reseller_lines` in all, without prices."""
    if not month.reseller_orders:
        return []
    day = date(month.year, month.month, month.reseller_day)
    on_sale = [product for product in sold_products() if product.on_sale(day)]
    stretch = month.reseller_lines / month.reseller_orders / 16
    sizes = _sizes(
        rng,
        month.reseller_orders,
        month.reseller_lines,
        draw=lambda: _reseller_size(rng.random(), stretch),
        limit=min(MAX_RESELLER_LINES, len(on_sale)),
    )
    rarity = [1 / weight for weight in _reseller_weights(on_sale)]
    return [[Line(product) for product in _sample(on_sale, rarity, size, rng)] for size in sizes]


def set_reseller_terms(baskets: list[list[Line]], rng: random.Random) -> None:
    """Set quantity, price and discount of all reseller lines, with the frequencies of the calibration."""
    lines = [line for basket in baskets for line in basket]
    appetites = [RESELLER_APPETITE * rng.random() for _ in baskets]
    quantities = sorted(_quantity(rng) for _ in lines)
    # Resellers order larger quantities of cheap products; a reseller with a large appetite orders more of everything.
    wanted = [
        (rng.random() + appetite + RESELLER_CHEAP * (line.product.category in ("Accessories", "Clothing")), line)
        for basket, appetite in zip(baskets, appetites, strict=True)
        for line in basket
    ]
    order = [line for _, line in sorted(wanted, key=lambda pair: pair[0])]
    for line, quantity in zip(order, quantities, strict=True):
        line.quantity = quantity
    draw_price = weighted(rng, [percent for percent, _ in RESELLER_PRICES], [share for _, share in RESELLER_PRICES])
    for line in lines:
        line.price_share = draw_price()
    by_volume = order[::-1]
    for discount, count in VOLUME_DISCOUNTS:
        for line in by_volume[:count]:
            line.discount = discount
        by_volume = by_volume[count:]
    on_offer = iter(rng.sample(by_volume, sum(count for _, count in OFFER_DISCOUNTS)))
    for discount, count in OFFER_DISCOUNTS:
        for _ in range(count):
            next(on_offer).discount = discount


class _Shelf:
    """The products of a category, picked in proportion to a power of their price."""

    def __init__(self, products: list[Product], category: str, power: float) -> None:
        self.products = [product for product in products if product.category == category]
        self.bounds = list(accumulate(float(product.list_price) ** power for product in self.products))

    def pick(self, rng: random.Random) -> Product:
        return self.products[bisect_right(self.bounds, rng.random() * self.bounds[-1])]


def _sizes(rng: random.Random, orders: int, lines: int, *, draw: Callable[[], int], limit: int) -> list[int]:
    """Return the number of lines of each order: drawn, then adjusted one by one until they add up to `lines`."""
    sizes = [min(draw(), limit) for _ in range(orders)]
    missing = lines - sum(sizes)
    step = 1 if missing > 0 else -1
    while missing:
        index = rng.randrange(orders)
        if 1 <= sizes[index] + step <= limit:
            sizes[index] += step
            missing -= step
    return sizes


def _reseller_size(share: float, stretch: float) -> int:
    """Return the order size at this quantile of a month whose orders are `stretch` times as large as the average."""
    drawn = max(1, round(_quantile(share) * stretch))
    return drawn if share > 0.99 else min(drawn, MOST_RESELLER_LINES)


def _quantile(share: float) -> float:
    """Return the number of lines that this share of the resellers' orders does not exceed."""
    index = bisect_right(RESELLER_LINES, share, key=lambda point: point[0])
    (below, low), (above, high) = RESELLER_LINES[index - 1 : index + 1]
    return low + (high - low) * (share - below) / (above - below)


def _reseller_weights(products: list[Product]) -> list[float]:
    """Return the weight of each product for resellers: its category's share, split by a power of the price."""
    weights = [float(p.list_price) ** RESELLER_CATEGORIES[p.category][1] for p in products if p.category]
    sums: dict[str, float] = dict.fromkeys(RESELLER_CATEGORIES, 0.0)
    for product, weight in zip(products, weights, strict=True):
        sums[str(product.category)] += weight
    return [
        RESELLER_CATEGORIES[p.category][0] * weight / sums[p.category]
        for p, weight in zip(products, weights, strict=True)
        if p.category
    ]


def _sample(products: list[Product], rarity: list[float], size: int, rng: random.Random) -> list[Product]:
    """Draw `size` different products, weighted (Efraimidis and Spirakis: the smallest of exponential variates)."""
    draw = rng.random
    keys = [-log(1.0 - draw()) * rare for rare in rarity]
    return [products[index] for index in sorted(range(len(keys)), key=keys.__getitem__)[:size]]


def _quantity(rng: random.Random) -> int:
    drawn = rng.random()
    for pieces, share in enumerate(RESELLER_QUANTITY, start=1):
        if drawn < share:
            return pieces
        drawn -= share
    pieces = len(RESELLER_QUANTITY) + 1
    while rng.random() < RESELLER_QUANTITY_DECAY and pieces < MAX_QUANTITY:
        pieces += 1
    return pieces
