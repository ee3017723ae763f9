"""Generate orders and their lines, modelled on a bicycle company, as lines of COPY text. No database is needed.

Amounts are integers in millionths of a dollar, so that an order's sub_total equals the sum of its lines exactly.
"""

import random
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from adventure.demo.catalogue import sold_products
from adventure.demo.generator.buyers import Buyers
from adventure.demo.generator.plan import Plan
from adventure.demo.generator.shares import EvenSequence, pick, weighted

ORDER_COLUMNS = (
    "sales_order_id", "revision_number", "status", "online_order_flag", "sales_order_number", "purchase_order_number",
    "account_number", "customer_id", "sales_person_id", "territory_id", "bill_to_address_id", "ship_to_address_id",
    "ship_method_id", "credit_card_id", "credit_card_approval_code", "currency_rate_id", "sub_total", "tax_amt",
    "freight", "total_due", "comment", "due_date", "order_date", "ship_date", "last_modified",
)  # fmt: skip
LINE_COLUMNS = (
    "sales_order_detail_id", "sales_order_id", "carrier_tracking_number", "order_qty", "product_id",
    "special_offer_id", "unit_price", "unit_price_discount", "line_total", "last_modified",
)  # fmt: skip

IN_PROCESS, SHIPPED = 1, 5
"""Order statuses. An order is in process until its ship date, and later batches set it to shipped."""

ONLINE_SHARE = 0.879
CARD_SHARE = 0.966
CURRENCY_SHARE = 0.44
CHAT_SHARE = 0.02

# 1 to 6 lines as in the history after 2013-07; the share of one-line orders makes the mean of all orders 3.83.
_ONLINE_LINES = weighted(range(1, 7), (0.402, 0.272, 0.196, 0.103, 0.023, 0.004))
_RESELLER_LINES = weighted(
    range(1, 73),
    (0.155, 0.076, 0.066, 0.056, *[0.147 / 5] * 5, *[0.25 / 17] * 17, *[0.15 / 15] * 15, *[0.09 / 17] * 17, *[0.01 / 14] * 14),
)  # fmt: skip
_RESELLER_QUANTITY = weighted(
    range(1, 45), (0.239, 0.233, 0.165, 0.123, 0.072, 0.054, *(0.114 * 0.22 * 0.78**n for n in range(38)))
)
_RESELLER_PRICE_PERCENT = weighted((60, 54, 58, 55), (0.71, 0.10, 0.10, 0.09))
_DISCOUNT_PERCENT = weighted((0, 2, 5, 10, 15, 20, 30, 35, 40), (57335, 1310, 606, 178, 590, 231, 61, 137, 169))
_OFFER_OF_DISCOUNT = {0: 1, 2: 2, 5: 3, 10: 4, 15: 5, 20: 6, 30: 7, 35: 8, 40: 9}
_CATEGORIES = ("Accessories", "Bikes", "Clothing", "Components")
_ONLINE_FIRST = weighted(range(4), (0.32, 0.53, 0.15, 0))
# A campaign brings 45 % more orders, all of them for clothing.
_ONLINE_FIRST_IN_CAMPAIGN = weighted(range(4), (0.32, 0.53, 0.60, 0))
_ONLINE_NEXT = weighted(range(4), (0.70, 0.02, 0.28, 0))
_RESELLER_CATEGORY = weighted(range(4), (0.11, 0.38, 0.20, 0.31))
_SHIP_AFTER, _DUE_AFTER = timedelta(days=7), timedelta(days=12)


@dataclass(frozen=True)
class Sale:
    """An order with its lines, ready for COPY, and the facts that a chat about it needs."""

    order_id: str
    order_number: str
    order_date: datetime
    customer_id: int
    product_id: int
    """The product of the first line."""
    order: str
    """A line of COPY text, in the order of ORDER_COLUMNS."""
    lines: tuple[str, ...]
    """Lines of COPY text, in the order of LINE_COLUMNS."""
    has_chat: bool
    territory_id: int = 0
    is_online: bool = True


class OrderMaker:
    """Make orders, numbered from `next_number`; the same seed and number give the same orders.

    Args:
        on: the day that decides which products are on sale.
        plan: the events that change what is sold, and to whom; by default there are none.
    """

    def __init__(self, seed: int | None, next_number: int, on: date, plan: Plan | None = None) -> None:
        self.next_number = next_number
        self.plan = plan or Plan(first=on)
        self.rng = random.Random(None if seed is None else f"{seed}:{next_number}")
        sequences = [EvenSequence(prime, next_number) for prime in (2, 3, 5, 7, 11, 17)]
        self._channel, self._territory, self._online_lines, self._card, self._currency, self._chat = sequences
        # A sequence of their own: 1 of 800 orders is a reseller's with more than 58 lines.
        self._reseller_lines = EvenSequence(13, int(next_number * (1 - ONLINE_SHARE)))
        self._buyers = Buyers(seed, next_number, ONLINE_SHARE)
        on_sale = [product for product in sold_products() if product.on_sale(on)]
        self._products = [
            [(p.product_id, int(p.list_price * 10_000)) for p in on_sale if p.category == category]
            for category in _CATEGORIES
        ]
        self._online_products = [
            [(p.product_id, int(p.list_price * 10_000)) for p in on_sale if p.category == category and p.sold_online]
            for category in _CATEGORIES
        ]

    def make(self, order_date: datetime, now: datetime) -> Sale:
        """Make one sale.

        Args:
            now: the cursor of the order and its lines. An order whose ship date lies before it has been shipped.
        """
        rng, number, last_modified = self.rng, self.next_number, now.isoformat(" ")
        self.next_number += 1
        order_id = str(UUID(int=rng.getrandbits(128), version=4))
        online = self._channel.draw() < ONLINE_SHARE
        customer = self._buyers.choose(
            online, order_date.hour, self._territory.draw(), outage=self.plan.is_outage(order_date.date())
        )
        campaign = self.plan.is_campaign(order_date.date())
        lines, product_id, gross, sub_total = self._make_lines(online, order_id, last_modified, campaign)
        # Resellers pay tax on the gross amount. Tax and freight are rounded to a ten-thousandth of a dollar.
        tax = _rounded(sub_total * 80 if online else gross * 96)
        freight = _rounded(sub_total * (25 if online else 30))
        in_process = order_date + _SHIP_AFTER > now
        card, approval = "\\N", "\\N"
        if self._card.draw() < CARD_SHARE:
            card = str(customer.credit_card_id)
            approval = f"{rng.randrange(100_000, 1_000_000)}Vi{rng.randrange(10_000, 100_000)}"
        order = "\t".join(
            (
                order_id,
                "7" if in_process else "8",
                str(IN_PROCESS if in_process else SHIPPED),
                "1" if online else "0",
                f"SO{number}",
                "\\N" if online else f"PO{rng.randrange(10**7, 10**11)}",
                customer.account_number,
                str(customer.customer_id),
                "\\N" if online else str(customer.sales_person_id),
                str(customer.territory_id),
                str(customer.address_id),
                str(customer.address_id),
                "1" if online else "5",
                card,
                approval,
                str(rng.randrange(1, 13_533)) if self._currency.draw() < CURRENCY_SHARE else "\\N",
                _dollars(sub_total),
                _dollars(tax),
                _dollars(freight),
                _dollars(sub_total + tax + freight),
                "\\N",
                (order_date + _DUE_AFTER).isoformat(" "),
                order_date.isoformat(" "),
                (order_date + _SHIP_AFTER).isoformat(" "),
                last_modified,
            )
        )
        has_chat = self._chat.draw() < CHAT_SHARE
        return Sale(
            order_id, f"SO{number}", order_date, customer.customer_id, product_id, order, lines, has_chat,
            customer.territory_id, online,
        )  # fmt: skip

    def _make_lines(
        self, online: bool, order_id: str, last_modified: str, campaign: bool
    ) -> tuple[tuple[str, ...], int, int, int]:
        """Return the lines, the first line's product, and the gross and net amounts in millionths of a dollar."""
        random_float, getrandbits = self.rng.random, self.rng.getrandbits
        if online:
            count = pick(_ONLINE_LINES, self._online_lines.draw())
        else:
            count = pick(_RESELLER_LINES, self._reseller_lines.draw())
        shelves = self._online_products if online else self._products
        first = _ONLINE_FIRST_IN_CAMPAIGN if campaign else _ONLINE_FIRST
        tracking = f"{getrandbits(16):04X}-{getrandbits(16):04X}-{getrandbits(8):02X}"
        lines: list[str] = []
        taken: set[int] = set()
        first_product = gross = net = 0
        while len(lines) < count:
            categories = (_ONLINE_NEXT if lines else first) if online else _RESELLER_CATEGORY
            shelf = shelves[pick(categories, random_float())]
            product_id, price = shelf[int(random_float() * len(shelf))]
            if product_id in taken:
                continue
            taken.add(product_id)
            first_product = first_product or product_id
            quantity, discount = 1, 0
            if not online:
                quantity = pick(_RESELLER_QUANTITY, random_float())
                discount = pick(_DISCOUNT_PERCENT, random_float())
                price = price * pick(_RESELLER_PRICE_PERCENT, random_float()) // 100
            total = quantity * price * (100 - discount)
            gross += quantity * price * 100
            net += total
            lines.append(
                f"{getrandbits(128):032x}\t{order_id}\t{tracking}\t{quantity}\t{product_id}"
                f"\t{_OFFER_OF_DISCOUNT[discount]}\t{price // 10_000}.{price % 10_000:04d}\t0.{discount:02d}"
                f"\t{_dollars(total)}\t{last_modified}"
            )
        return tuple(lines), first_product, gross, net


def _rounded(thousandths_of_millionths: int) -> int:
    """Return millionths of a dollar, rounded half up to a multiple of 100."""
    return (thousandths_of_millionths + 50_000) // 100_000 * 100


def _dollars(millionths: int) -> str:
    return f"{millionths // 1_000_000}.{millionths % 1_000_000:06d}"
