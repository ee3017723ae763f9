"""Generate the sales orders of 2011 to 2014, as documents of `ecom.sales_order_raw`."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache

import orjson

from adventure.demo.catalogue import Customer
from adventure.demo.history.baskets import Line, online_baskets, reseller_baskets, set_reseller_terms
from adventure.demo.history.buyers import online_buyers, reseller_buyers
from adventure.demo.history.calibration import CARDS, CURRENCY_RATES, FIRST_ORDER_ID, MONTHS, Month
from adventure.demo.history.draws import below

_SHIP_AFTER, _DUE_AFTER = 7, 12  # days
_ESTIMATES = ("3 days", "5 days", "7 days", "10 days", "1 week", "2 weeks", "2 Weeks", "1 Week")
_OFFER_OF_DISCOUNT = {0: 1, 2: 2, 5: 3, 10: 4, 15: 5, 20: 6, 30: 7, 35: 8, 40: 9}
_OWN_CURRENCY = frozenset({"Australia", "Canada", "United Kingdom"})


@dataclass(slots=True)
class Order:
    """An order of the history."""

    order_date: datetime
    customer: Customer
    lines: list[Line]
    order_id: int = 0
    has_card: bool = False
    has_currency_rate: bool = False


def make_orders(seed: int) -> list[Order]:
    """Return all 31,465 orders, ordered by id and thus by date."""
    rng = random.Random(f"{seed}:orders")
    buyers, contacts = iter(online_buyers(rng)), reseller_buyers(rng)
    orders: list[Order] = []
    for month, resellers in zip(MONTHS, contacts, strict=True):
        baskets = online_baskets(month, rng)
        orders += [Order(_random_time(month, rng), next(buyers), basket) for basket in baskets]
        orders += [
            Order(_office_hours(month, rng), contact, basket)
            for contact, basket in zip(resellers, reseller_baskets(month, rng), strict=True)
        ]
    set_reseller_terms([order.lines for order in orders if order.customer.is_reseller], rng)
    for channel in ("online", "reseller"):
        for in_march, march in enumerate((False, True)):
            group = [order for order in orders if _belongs(order, channel, march)]
            for order in _pick_lowest(group, CARDS[channel][1 - in_march], rng, lambda _: 0):
                order.has_card = True
            for order in _pick_lowest(group, CURRENCY_RATES[channel][1 - in_march], rng, _has_dollars):
                order.has_currency_rate = True
    orders.sort(key=lambda order: order.order_date)
    for order_id, order in enumerate(orders, start=FIRST_ORDER_ID):
        order.order_id = order_id
    return orders


def order_documents(orders: list[Order], seed: int) -> list[bytes]:
    """Return each order as a JSON document with the source system's keys."""
    rng = random.Random(f"{seed}:order documents")
    draw = below(rng)
    documents, first_line_id = [], 1
    for order in orders:
        documents.append(_document(order, first_line_id, rng, draw))
        first_line_id += len(order.lines)
    return documents


def _document(order: Order, first_line_id: int, rng: random.Random, draw: Callable[[int], int]) -> bytes:
    """Return the order's document, written as text: faster than orjson from a dict, and nothing needs escaping."""
    customer, online = order.customer, not order.customer.is_reseller
    order_date = f"{order.order_date}"
    day, clock = order_date[:10], order_date[11:]
    shipped, due = _days_after(day, _SHIP_AFTER), _days_after(day, _DUE_AFTER)
    tracking = f"{rng.getrandbits(16):04X}-{rng.getrandbits(16):04X}-{rng.getrandbits(8):02X}"
    approval = f'"{10_000 + draw(990_000)}Vi{100 + draw(99_900)}"' if order.has_card else "null"
    currency_rate = 1 + draw(13_532) if order.has_currency_rate else "null"
    estimate = _ESTIMATES[draw(len(_ESTIMATES))]
    purchase_order = "null" if online else f'"PO{10**7 + draw(10**11 - 10**7)}"'
    lines, sub_total, gross = _lines(order.lines, first_line_id, tracking, day)
    tax = _to_ten_thousandth(sub_total * 80 if online else gross * 96)
    freight = _to_ten_thousandth(sub_total * (25 if online else 30))
    return (
        f'{{"SalesOrderID":{order.order_id},"CustomerID":{customer.customer_id},'
        f'"AccountNumber":"{customer.account_number}","BillToAddressID":{customer.address_id},"Comment":null,'
        f'"CreditCardApprovalCode":{approval},'
        f'"CreditCardID":{customer.credit_card_id if order.has_card else "null"},"CurrencyRateID":{currency_rate},'
        f'"DeliveryEstimate":"{estimate}","DueDate":"{due} {clock}","Freight":{amount(freight)},'
        f'"ModifiedDate":"{shipped}","OnlineOrderFlag":{int(online)},"OrderDate":"{order_date}",'
        f'"OrderDetails":[{lines}],"PurchaseOrderNumber":{purchase_order},"RevisionNumber":8,'
        f'"SalesOrderNumber":"SO{order.order_id}",'
        f'"SalesPersonID":{"null" if customer.sales_person_id is None else customer.sales_person_id},'
        f'"ShipDate":"{shipped} {clock}","ShipMethodID":{1 if online else 5},"ShipToAddressID":{customer.address_id},'
        f'"Status":5,"SubTotal":{amount(sub_total)},"TaxAmt":{amount(tax)},"TerritoryID":{customer.territory_id},'
        f'"TotalDue":{amount(sub_total + tax + freight)}}}'
    ).encode()


def _lines(lines: list[Line], first_line_id: int, tracking: str, day: str) -> tuple[str, int, int]:
    """Return the lines as text, their total after and before discounts in millionths of a dollar."""
    texts, sub_total, gross = [], 0, 0
    for line_id, line in enumerate(lines, start=first_line_id):
        quantity, discount, price = line.quantity, line.discount, line.price
        total = quantity * price * (100 - discount)
        sub_total += total
        gross += quantity * price * 100
        texts.append(
            f'{{"SalesOrderDetailID":{line_id},"CarrierTrackingNumber":"{tracking}","OrderQty":{quantity},'
            f'"ProductID":{line.product.product_id},"SpecialOfferID":{_OFFER_OF_DISCOUNT[discount]},'
            f'"UnitPrice":{amount(price * 100)},"UnitPriceDiscount":{amount(discount * 10_000)},'
            f'"LineTotal":{amount(total)},"ModifiedDate":"{day}"}}'
        )
    return ",".join(texts), sub_total, gross


@cache
def _days_after(day: str, days: int) -> str:
    return f"{date.fromisoformat(day) + timedelta(days=days)}"


@cache
def amount(millionths: int) -> str:
    """Return an amount as a JSON number with all its digits, which a float could lose."""
    whole, rest = divmod(millionths, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".") if rest else f"{whole}"


def dollars(millionths: int) -> orjson.Fragment:
    """Return an amount for a document that orjson writes."""
    return orjson.Fragment(amount(millionths))


def _to_ten_thousandth(thousandth_parts: int) -> int:
    """Return a thousandth of the argument, in millionths of a dollar, rounded to a ten-thousandth of a dollar."""
    return (thousandth_parts + 50_000) // 100_000 * 100


def _random_time(month: Month, rng: random.Random) -> datetime:
    """Return a time on any day of the month, most likely in the afternoon."""
    days = (month.last_day - month.first_day).days
    day = month.first_day + timedelta(days=rng.randint(0, days))
    return datetime.combine(day, time.min) + timedelta(seconds=int(rng.triangular(0, 86_399, 54_000)))


def _office_hours(month: Month, rng: random.Random) -> datetime:
    """Return a time on the month's reseller day, between 8:00 and 18:00."""
    return datetime(month.year, month.month, month.reseller_day) + timedelta(seconds=rng.randint(28_800, 64_800))


def _belongs(order: Order, channel: str, in_march_2013: bool) -> bool:
    march = (order.order_date.year, order.order_date.month) == (2013, 3)
    return march == in_march_2013 and order.customer.is_reseller == (channel == "reseller")


def _has_dollars(order: Order) -> int:
    return int(order.customer.country not in _OWN_CURRENCY)


def _pick_lowest(orders: list[Order], count: int, rng: random.Random, rank: Callable[[Order], int]) -> list[Order]:
    """Return `count` random orders, those with the lowest rank first."""
    return sorted(orders, key=lambda order: (rank(order), rng.random()))[:count]
