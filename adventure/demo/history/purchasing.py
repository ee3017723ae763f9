"""Generate vendors, their offers, the inventory and purchase orders."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from adventure.demo.catalogue import Product, products
from adventure.demo.history.orders import dollars

_FIRST_VENDOR_ID = 1_492
_CREDIT_RATINGS = {1: 84, 2: 9, 3: 7, 4: 2, 5: 2}
_VENDORS_THAT_SELL, _NOT_PREFERRED, _INACTIVE = 86, 11, 4
_VENDORS_OF_A_PRODUCT = {1: 113, 2: 109, 3: 43}
_LOCATIONS_OF_A_PRODUCT = {1: 54, 2: 140, 3: 231, 6: 7}
_LOCATIONS = (1, 2, 3, 4, 5, 6, 7, 10, 20, 30, 40, 45, 50, 60)
_STOCK_QUARTILES = (0, 140, 299, 481, 924)

_STATUSES = {4: 3_689, 1: 225, 3: 86, 2: 12}
"""4 complete, 1 pending, 3 rejected, 2 approved."""
_ORDERS_A_YEAR = {2011: 28, 2012: 252, 2013: 1_307, 2014: 2_425}
_FIRST_DAY, _LAST_DAY = datetime(2011, 4, 16), datetime(2014, 9, 22)
_LINES = 8_845
_QUANTITIES = ((3, 0.468), (550, 0.425), (60, 0.09), (1_250, 0.012), (150, 0.005))

_NAME_STARTS = (
    "Alpine", "Anchor", "Beacon", "Cascade", "Compass", "Crest", "Delta", "Eagle", "Granite", "Harbor", "Horizon",
    "Ideal", "Keystone", "Lakeside", "Metro", "Northern", "Pioneer", "Quality", "Ridge", "Summit", "Union", "Valley",
    "West", "Zenith",
)  # fmt: skip
_NAME_ENDS = ("Bicycle Parts", "Components", "Cycles", "Metal Works", "Supply")


@dataclass(frozen=True)
class Vendor:
    vendor_id: int
    name: str
    credit_rating: int
    is_preferred: bool
    is_active: bool
    since: datetime

    @property
    def account_number(self) -> str:
        return f"{self.name.replace(' ', '').upper()[:8]}{self.vendor_id:04d}"


@dataclass(frozen=True)
class Offer:
    """A vendor's terms for a product."""

    product_id: int
    vendor_id: int
    lead_time: int
    """Days, on average."""
    price: int
    """In ten-thousandths of a dollar."""
    min_quantity: int
    max_quantity: int
    on_order: int | None
    unit_measure: str
    last_receipt: datetime

    @property
    def last_cost(self) -> int:
        """Return the last cost in ten-thousandths of a dollar: five per cent above the price."""
        return self.price * 105 // 100


def make_vendors(seed: int) -> list[Vendor]:
    """Return 104 vendors, ordered by id."""
    rng = random.Random(f"{seed}:vendors")
    names = [f"{start} {end}" for start in _NAME_STARTS for end in _NAME_ENDS]
    ratings = [rating for rating, count in _CREDIT_RATINGS.items() for _ in range(count)]
    rng.shuffle(names)
    rng.shuffle(ratings)
    ids = [_FIRST_VENDOR_ID + 2 * index for index in range(len(ratings))]
    inactive = set(rng.sample(ids[_VENDORS_THAT_SELL:], _INACTIVE))
    not_preferred = inactive | set(rng.sample(sorted(set(ids) - inactive), _NOT_PREFERRED - _INACTIVE))
    return [
        Vendor(
            vendor_id,
            name,
            rating,
            vendor_id not in not_preferred,
            vendor_id not in inactive,
            _midnight(2011, 300, rng),
        )
        for vendor_id, name, rating in zip(ids, names, ratings, strict=False)
    ]


def make_offers(vendors: list[Vendor], seed: int) -> list[Offer]:
    """Return 460 offers: 265 purchased products with one to three vendors each."""
    rng = random.Random(f"{seed}:offers")
    sellers = vendors[:_VENDORS_THAT_SELL]
    counts = [vendor_count for vendor_count, count in _VENDORS_OF_A_PRODUCT.items() for _ in range(count)]
    rng.shuffle(counts)
    parts = [product for product in products() if product.category is None]
    goods = [product for product in products() if product.category in ("Accessories", "Clothing")]
    bought = sorted([*parts, *goods[: len(counts) - len(parts)]], key=lambda product: product.product_id)
    # Every vendor gets its first product before any gets its second, so that every vendor has one.
    waiting = sellers.copy()
    offers = []
    for product, count in zip(bought, counts, strict=True):
        chosen = [waiting.pop() for _ in range(min(count, len(waiting)))]
        chosen += rng.sample([vendor for vendor in sellers if vendor not in chosen], count - len(chosen))
        offers += [_offer(product, vendor, rng) for vendor in chosen]
    return offers


def _offer(product: Product, vendor: Vendor, rng: random.Random) -> Offer:
    low, high = rng.choice(((1, 5), (1, 5), (1, 5), (100, 1_000), (20, 100), (500, 5_000)))
    return Offer(
        product_id=product.product_id,
        vendor_id=vendor.vendor_id,
        lead_time=rng.choice((15, 16, 17, 17, 18, 19, 19, 25, 30, 45, 60)),
        price=rng.randint(21, 7_800) * 100,
        min_quantity=low,
        max_quantity=high,
        on_order=rng.randint(low, high) if rng.random() < 0.25 else None,
        unit_measure=rng.choice(("CTN", "CTN", "EA ", "EA ", "CAN", "CS ", "DZ ", "PAK")),
        last_receipt=_midnight(2011, 360, rng),
    )


def make_inventory(seed: int) -> Iterator[tuple[int, int, str, int, int]]:
    """Yield 1,069 rows of product, location, shelf, bin and quantity: 432 products in one to six of 14 locations."""
    rng = random.Random(f"{seed}:inventory")
    counts = [location_count for location_count, count in _LOCATIONS_OF_A_PRODUCT.items() for _ in range(count)]
    rng.shuffle(counts)
    for product, count in zip(products(), counts, strict=False):
        for location in sorted(rng.sample(_LOCATIONS, count)):
            share = rng.random() * 4
            below, above = _STOCK_QUARTILES[int(share)], _STOCK_QUARTILES[int(share) + 1]
            quantity = round(below + (above - below) * (share % 1))
            yield product.product_id, location, rng.choice("ABCDEFGHJKLMNPRSTUWY"), rng.randint(0, 61), quantity


def purchase_documents(offers: list[Offer], seed: int) -> Iterator[bytes]:
    """Yield the 8,845 lines of 4,012 purchase orders, one document per line with its order's fields."""
    rng = random.Random(f"{seed}:purchases")
    offers_of: dict[int, list[Offer]] = {}
    for offer in offers:
        offers_of.setdefault(offer.vendor_id, []).append(offer)
    statuses = [status for status, count in _STATUSES.items() for _ in range(count)]
    rng.shuffle(statuses)
    dates = sorted(_order_date(year, rng) for year, count in _ORDERS_A_YEAR.items() for _ in range(count))
    vendors = rng.choices(
        list(offers_of.values()), [len(vendor_offers) for vendor_offers in offers_of.values()], k=len(statuses)
    )
    sizes = _sizes(vendors, rng)
    line_id = 1
    for order_id, (status, date, vendor_offers, size) in enumerate(
        zip(statuses, dates, vendors, sizes, strict=True), start=1
    ):
        lines = [_line(offer, date, status, rng) for offer in rng.sample(vendor_offers, size)]
        sub_total = sum(line["OrderQty"] * line["UnitPrice"] for line in lines)
        order = {
            "EmployeeID": rng.randint(250, 261),
            "Freight": dollars(sub_total * 25 // 1_000 * 100),
            "OrderDate": f"{date}",
            "PurchaseOrderID": order_id,
            "RevisionNumber": rng.choices((4, 5, 6), (0.95, 0.03, 0.02))[0],
            "ShipDate": f"{date + timedelta(days=9)}",
            "ShipMethodID": rng.choices((1, 2, 3, 4, 5), (0.11, 0.15, 0.04, 0.34, 0.36))[0],
            "Status": status,
            "SubTotal": dollars(sub_total * 100),
            "TaxAmt": dollars(sub_total * 80 // 1_000 * 100),
            "TotalDue": dollars((sub_total + sub_total * 25 // 1_000 + sub_total * 80 // 1_000) * 100),
            "VendorID": vendor_offers[0].vendor_id,
        }
        for line in lines:
            amounts = {
                "LineTotal": dollars(line["OrderQty"] * line["UnitPrice"] * 100),
                "UnitPrice": dollars(line["UnitPrice"] * 100),
            }
            details = {"DueDate": f"{date + timedelta(days=14)}", "PurchaseOrderDetailID": line_id, **line, **amounts}
            yield orjson.dumps({**order, "OrderDetails": details})
            line_id += 1


def _line(offer: Offer, date: datetime, status: int, rng: random.Random) -> dict[str, int]:
    """Return a line's numbers; the price, in ten-thousandths of a dollar, rises by one per cent of the cost a year."""
    ordered = rng.choices([pieces for pieces, _ in _QUANTITIES], [share for _, share in _QUANTITIES])[0]
    received = ordered - (rng.randint(1, max(1, ordered // 10)) if rng.random() < 0.04 else 0)
    rejected = min(received, rng.randint(1, max(1, ordered // 10))) if rng.random() < 0.06 or status == 3 else 0
    return {
        "OrderQty": ordered,
        "ProductID": offer.product_id,
        "ReceivedQty": received,
        "RejectedQty": rejected,
        "StockedQty": received - rejected,
        "UnitPrice": offer.last_cost * (100 + date.year - 2011) // 100,
    }


def _sizes(vendors: list[list[Offer]], rng: random.Random) -> list[int]:
    """Return the number of lines of each order, _LINES in all; no order contains a product twice."""
    sizes = [
        min(len(vendor_offers), rng.choices((1, 2, 3, 4, 5), (0.41, 0.31, 0.16, 0.07, 0.05))[0])
        for vendor_offers in vendors
    ]
    missing = _LINES - sum(sizes)
    step = 1 if missing > 0 else -1
    while missing:
        index = rng.randrange(len(sizes))
        if 1 <= sizes[index] + step <= len(vendors[index]):
            sizes[index] += step
            missing -= step
    return sizes


def _order_date(year: int, rng: random.Random) -> datetime:
    first, last = max(_FIRST_DAY, datetime(year, 1, 1)), min(_LAST_DAY, datetime(year, 12, 31))
    return first + timedelta(days=rng.randint(0, (last - first).days))


def _midnight(year: int, within_days: int, rng: random.Random) -> datetime:
    return datetime(year, 1, 1) + timedelta(days=rng.randrange(within_days))
