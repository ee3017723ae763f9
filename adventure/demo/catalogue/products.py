"""The products: bicycles, components, clothing and accessories.

295 products in four categories (ids 680, 706 and 707–999) come from models in several colours and sizes. 209 parts
without a category (ids 1–4 and 316–520) are made or bought but never sold. Of the 295, 266 were ever sold; products
of a discontinued model are no longer sold.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from itertools import product as combinations
from typing import Literal, NamedTuple

Category = Literal["Accessories", "Bikes", "Clothing", "Components"]

_FRAME_AND_BIKE_SIZES = frozenset({"38", "40", "42", "44", "46", "48", "50", "52", "54", "56", "58", "60", "62"})


@dataclass(frozen=True)
class Product:
    """A product. Amounts are in US dollars; an attribute that does not apply is None."""

    product_id: int
    name: str
    product_number: str
    category: Category | None
    subcategory: str | None
    model: str | None
    color: str | None
    size: str | None
    size_unit: str | None
    """A unit measure's code, three characters with blanks: `CM `."""
    weight: Decimal | None
    weight_unit: str | None
    """A unit measure's code: `LB ` or `G  `."""
    product_line: str | None
    """M mountain, R road, T touring, S everything else."""
    product_class: str | None
    """H high, M medium, L low."""
    style: str | None
    """W women's, M men's, U universal."""
    standard_cost: Decimal
    list_price: Decimal
    sell_start: date
    sell_end: date | None
    """The last day on which it was sold; None while it is still sold."""
    sold: bool
    """Whether it was ever sold."""
    sold_online: bool
    """Whether individuals could buy it; the other products are sold to resellers only."""

    def on_sale(self, day: date) -> bool:
        """Return whether customers could buy it on that day."""
        return self.sold and self.sell_start <= day and (self.sell_end is None or day <= self.sell_end)


class _Model(NamedTuple):
    """A model with its colours and sizes; the first `unsold` of its products were never sold."""

    category: Category
    subcategory: str
    name: str
    price: str
    colors: str = ""
    sizes: str = ""
    period: str = "13-"
    online: bool = True
    unsold: int = 0
    kind: str = ""
    """Product line, class and style, one letter each, `-` for none."""


_STARTS = {"11": date(2011, 5, 31), "12": date(2012, 5, 30), "13": date(2013, 5, 30)}
_ENDS = {"12": date(2012, 5, 29), "13": date(2013, 5, 29), "": None}

# fmt: off
_MODELS = (
    # The first two sizes of the first model have the ids 680 and 706; all others are numbered from 707 to 999.
    _Model("Components", "Road Frames", "HL Road Frame", "1431.50", "Black", "44 48 52 58 62", "11-", False, 5, "RHU"),
    _Model("Accessories", "Helmets", "Guardian Helmet", "34.99", "Red Black Blue", "", "11-", kind="S--"),
    _Model("Clothing", "Socks", "Mountain Bike Socks", "9.50", "White", "M L", "11-12", False, kind="M-U"),
    _Model("Clothing", "Caps", "Classic Cap", "8.99", "Multi", "", "11-", kind="S-U"),
    _Model("Clothing", "Jerseys", "Long-Sleeve Jersey", "49.99", "Multi", "S M L XL", "11-", kind="S-U"),
    _Model("Components", "Road Frames", "HL Road Frame", "1431.50", "Red", "44 48 52 58 62", "11-", False, 3, "RHU"),
    _Model("Components", "Road Frames", "LL Road Frame", "337.22", "Red", "44 48 50 52 58 60 62", "11-13", False, 0, "RLU"),
    _Model("Components", "Road Frames", "LL Road Frame", "337.22", "Black", "44 48 50 52 58 60 62", "11-", False, 2, "RLU"),
    _Model("Components", "Road Frames", "ML Road Frame", "594.83", "Red", "44 48 52 58", "11-13", False, 0, "RMU"),
    _Model("Components", "Mountain Frames", "HL Mountain Frame", "1364.50", "Silver Black", "38 42 44 48", "11-13", False, 0, "MHU"),
    _Model("Bikes", "Road Bikes", "Sprint 150", "3578.27", "Red", "44 48 52 56 62", "11-12", kind="RHU"),
    _Model("Bikes", "Road Bikes", "Sprint 450", "1457.99", "Red", "44 48 52 58 60", "11-12", False, kind="RMU"),
    _Model("Bikes", "Road Bikes", "Sprint 650", "782.99", "Red Black", "44 48 52 58 62", "11-13", kind="RLU"),
    _Model("Bikes", "Mountain Bikes", "Summit 100", "3399.99", "Silver Black", "38 42 44 48", "11-12", kind="MHU"),
    _Model("Bikes", "Road Bikes", "Sprint 250", "2443.35", "Red", "44 48 52 58 62", "12-13", kind="RHU"),
    _Model("Bikes", "Road Bikes", "Sprint 250", "2443.35", "Black", "44 48 52 58 62", "12-", kind="RHU"),
    _Model("Bikes", "Road Bikes", "Sprint 550-W", "1120.49", "Yellow", "38 40 42 44 48", "12-", kind="RMW"),
    _Model("Bikes", "Mountain Bikes", "Summit 200", "2319.99", "Silver Black", "38 42 46", "12-", kind="MHU"),
    _Model("Bikes", "Mountain Bikes", "Summit 300", "1079.99", "Black", "38 40 44 48", "12-13", False, kind="MMU"),
    _Model("Components", "Mountain Frames", "ML Mountain Frame", "348.76", "Silver Black", "38 42 44 48", "12-", False, 0, "MMU"),
    _Model("Components", "Forks", "Fork", "175.49", "Silver", "LL ML HL", "12-13", False, 1),
    _Model("Components", "Headsets", "Headset", "102.29", "Black", "LL ML HL", "12-13", False),
    _Model("Components", "Handlebars", "Mountain Handlebars", "54.40", "", "LL ML HL", "12-", False, kind="M--"),
    _Model("Components", "Handlebars", "Road Handlebars", "68.12", "", "LL ML HL", "12-", False, 1, "R--"),
    _Model("Components", "Handlebars", "Touring Handlebars", "91.57", "", "LL HL", "13-", False, kind="T--"),
    _Model("Components", "Wheels", "Mountain Wheel", "236.03", "Black", "LL-Front ML-Front HL-Front LL-Rear ML-Rear HL-Rear", "12-13", False, 1, "M--"),
    _Model("Components", "Wheels", "Road Wheel", "265.52", "Black", "LL-Front ML-Front HL-Front LL-Rear ML-Rear HL-Rear", "12-13", False, 1, "R--"),
    _Model("Components", "Wheels", "Touring Wheel", "231.48", "Black", "Front Rear", "12-13", False, 1, "T--"),
    _Model("Clothing", "Shorts", "Men's Sports Shorts", "59.99", "Black", "S M L XL", "12-13", False, 1, "S-M"),
    _Model("Clothing", "Tights", "Women's Tights", "74.99", "Black", "S M L", "12-13", False, kind="S-W"),
    _Model("Clothing", "Bib-Shorts", "Men's Bib-Shorts", "89.99", "Multi", "S M L", "12-13", False, kind="S-M"),
    _Model("Clothing", "Gloves", "Full-Finger Gloves", "37.99", "Black", "S M L", "12-13", False, kind="M-U"),
    _Model("Accessories", "Locks", "Cable Lock", "25.00", "", "", "12-13", False, kind="S--"),
    _Model("Accessories", "Pumps", "Minipump", "19.99", "", "", "12-13", False, kind="S--"),
    _Model("Accessories", "Pumps", "Mountain Pump", "24.99", "", "", "12-13", False, 1, "S--"),
    _Model("Accessories", "Panniers", "Touring Panniers", "125.00", "Grey", "", "12-13", False, 1, "T--"),
    _Model("Accessories", "Lights", "Taillight", "13.99", "", "", "12-13", False, 1, "R--"),
    _Model("Accessories", "Lights", "Headlight, Weatherproof", "44.99", "", "", "12-13", False, 1, "R--"),
    _Model("Accessories", "Lights", "Headlight, Dual-Beam", "34.99", "", "", "12-13", False, 1, "R--"),
    _Model("Clothing", "Gloves", "Half-Finger Gloves", "24.49", "Black", "S M L", "12-", kind="S-U"),
    _Model("Clothing", "Vests", "Classic Vest", "63.50", "Blue", "S M L", kind="S-U"),
    _Model("Clothing", "Shorts", "Women's Mountain Shorts", "69.99", "Black", "S M L", kind="M-W"),
    _Model("Clothing", "Jerseys", "Short-Sleeve Jersey", "53.99", "Yellow", "S M L XL", kind="S-U"),
    _Model("Clothing", "Socks", "Racing Socks", "8.99", "White", "M L", kind="R-U"),
    _Model("Accessories", "Bottles and Cages", "Water Bottle", "4.99", kind="S--"),
    _Model("Accessories", "Bottles and Cages", "Mountain Bottle Cage", "9.99", kind="M--"),
    _Model("Accessories", "Bottles and Cages", "Road Bottle Cage", "8.99", kind="R--"),
    _Model("Accessories", "Tires and Tubes", "Patch Kit", "2.29", kind="S--"),
    _Model("Accessories", "Tires and Tubes", "Road Tube", "3.99", kind="R--"),
    _Model("Accessories", "Tires and Tubes", "Mountain Tube", "4.99", kind="M--"),
    _Model("Accessories", "Tires and Tubes", "Touring Tube", "4.99", kind="T--"),
    _Model("Accessories", "Tires and Tubes", "LL Road Tire", "21.49", kind="RL-"),
    _Model("Accessories", "Tires and Tubes", "ML Road Tire", "24.99", kind="RM-"),
    _Model("Accessories", "Tires and Tubes", "HL Road Tire", "32.60", kind="RH-"),
    _Model("Accessories", "Tires and Tubes", "LL Mountain Tire", "24.99", kind="ML-"),
    _Model("Accessories", "Tires and Tubes", "ML Mountain Tire", "29.99", kind="MM-"),
    _Model("Accessories", "Tires and Tubes", "HL Mountain Tire", "35.00", kind="MH-"),
    _Model("Accessories", "Tires and Tubes", "Touring Tire", "28.99", kind="T--"),
    _Model("Accessories", "Bike Racks", "Hitch Rack, 4 Bikes", "120.00", kind="S--"),
    _Model("Accessories", "Cleaners", "Bike Wash", "7.95", kind="S--"),
    _Model("Accessories", "Fenders", "Mountain Fender Set", "21.98", kind="M--"),
    _Model("Accessories", "Bike Stands", "All-Purpose Bike Stand", "159.00", kind="M--"),
    _Model("Accessories", "Hydration Packs", "Hydration Pack, 2 Litres", "54.99", "Silver", kind="S--"),
    _Model("Components", "Mountain Frames", "LL Mountain Frame", "249.79", "Silver Black", "40 42 44 48 52", "12-", False, 2, "MLU"),
    _Model("Components", "Mountain Frames", "ML Mountain Frame-W", "364.09", "Silver", "40 42", "12-", False, 0, "MMW"),
    _Model("Components", "Road Frames", "ML Road Frame-W", "594.83", "Yellow", "38 40 42 44 48", "12-", False, 3, "RMW"),
    _Model("Components", "Touring Frames", "HL Touring Frame", "1003.91", "Yellow Blue", "46 50 54 60", "13-", False, 0, "THU"),
    _Model("Components", "Touring Frames", "LL Touring Frame", "333.42", "Yellow Blue", "44 50 54 58 62", "13-", False, 1, "TLU"),
    _Model("Components", "Brakes", "Brakes", "106.50", "Silver", "Front Rear", "13-", False),
    _Model("Components", "Derailleurs", "Derailleur", "106.47", "Silver", "Front Rear", "13-", False),
    _Model("Components", "Saddles", "Mountain Saddle", "39.14", "", "LL ML HL", "13-", False, kind="M--"),
    _Model("Components", "Saddles", "Road Saddle", "39.14", "", "LL ML HL", "13-", False, 1, "R--"),
    _Model("Components", "Saddles", "Touring Saddle", "39.14", "", "LL ML HL", "13-", False, kind="T--"),
    _Model("Components", "Pedals", "Mountain Pedal", "62.09", "Silver/Black", "LL ML HL", "13-", False, kind="M--"),
    _Model("Components", "Pedals", "Road Pedal", "62.09", "Silver/Black", "LL ML HL", "13-", False, kind="R--"),
    _Model("Components", "Pedals", "Touring Pedal", "80.99", "Silver/Black", "", "13-", False, kind="T--"),
    _Model("Components", "Chains", "Chain", "20.24", "Silver", "", "13-", False),
    _Model("Components", "Cranksets", "Crankset", "256.49", "Black", "LL ML HL", "13-", False),
    _Model("Components", "Bottom Brackets", "Bottom Bracket", "92.24", "", "LL ML HL", "13-", False, 1),
    _Model("Bikes", "Touring Bikes", "Voyager 1000", "2384.07", "Yellow Blue", "46 50 54 60", kind="THU"),
    _Model("Bikes", "Touring Bikes", "Voyager 2000", "1214.85", "Blue", "46 50 54 60", kind="TMU"),
    _Model("Bikes", "Touring Bikes", "Voyager 3000", "742.35", "Yellow Blue", "44 50 54 58 62", kind="TLU"),
    _Model("Bikes", "Road Bikes", "Sprint 350-W", "1700.99", "Yellow", "40 42 44 48", kind="RMW"),
    _Model("Bikes", "Road Bikes", "Sprint 750", "539.99", "Black", "44 48 52 58", kind="RLU"),
    _Model("Bikes", "Mountain Bikes", "Summit 400-W", "769.49", "Silver", "38 40 42 46", kind="MMW"),
    _Model("Bikes", "Mountain Bikes", "Summit 500", "539.99", "Silver Black", "40 42 44 48 52", kind="MLU"),
)
# fmt: on

_PART_KINDS = (
    "Ball Bearing", "Blade", "Bolt", "Bracket", "Cap Screw", "Chain Stay", "Crown Race", "Cup", "Decal", "Fork End",
    "Hex Nut", "Hub", "Lock Ring", "Lock Washer", "Metal Sheet", "Pinch Bolt", "Reflector", "Spokes", "Steerer",
)  # fmt: skip
_PART_SERIES = 11
_PARTS_SINCE = date(2008, 4, 30)
_DEARER_AND_CHEAPER = {"LL": Decimal("0.7"), "ML": Decimal("1"), "HL": Decimal("1.4")}
_COLOR_LETTERS = {"Silver/Black": "M"}


@cache
def products() -> tuple[Product, ...]:
    """Return all 504 products, ordered by id."""
    rng = random.Random(504)
    return tuple(sorted((*_parts(rng), *_sellable(rng)), key=lambda product: product.product_id))


@cache
def sold_products() -> tuple[Product, ...]:
    """Return the 266 products that were ever sold, ordered by id; filter with `on_sale(day)` for one day."""
    return tuple(product for product in products() if product.sold)


def _sellable(rng: random.Random) -> Iterator[Product]:
    """Yield the 295 products with a category: each model in its colours and sizes."""
    ids = iter((680, 706, *range(707, 1000)))
    colors: dict[str, set[str]] = {}
    for model in _MODELS:
        colors.setdefault(model.name, set()).update(model.colors.split())
    for model in _MODELS:
        variants = combinations(model.colors.split() or [""], model.sizes.split() or [""])
        cost_share = Decimal(rng.randint(50, 60)) / 100
        start, _, end = model.period.partition("-")
        line, product_class, style = (None if letter == "-" else letter for letter in model.kind or "---")
        for index, (color, size) in enumerate(variants):
            product_id = next(ids)
            grade, _, position = size.partition("-")
            factor = _DEARER_AND_CHEAPER.get(grade)
            price = _cents(Decimal(model.price) * (factor or 1))
            real_size = size if size in _FRAME_AND_BIKE_SIZES or size in ("S", "M", "L", "XL") else None
            in_cm = real_size in _FRAME_AND_BIKE_SIZES
            heavy = model.category in ("Bikes", "Components")
            # `LL Road Wheel, Front`: a grade comes first; a colour that distinguishes models and the size come last.
            name = f"{model.name} {color}" if len(colors[model.name]) > 1 else model.name
            name = f"{grade} {name}" if factor else name
            suffix = position if factor else size
            yield Product(
                product_id=product_id,
                name=f"{name}, {suffix}" if suffix else name,
                product_number=_number(model.name, color, product_id),
                category=model.category,
                subcategory=model.subcategory,
                model=f"{grade} {model.name}" if factor else model.name,
                color=color or None,
                size=real_size,
                size_unit="CM " if in_cm else None,
                weight=_weight(model.category, rng) if heavy else None,
                weight_unit="LB " if heavy else None,
                product_line=line,
                product_class=product_class or (grade[0] if factor else None),
                style=style,
                standard_cost=_cents(price * cost_share),
                list_price=price,
                sell_start=_STARTS[start],
                sell_end=_ENDS[end],
                sold=index >= model.unsold,
                sold_online=model.online,
            )


def _parts(rng: random.Random) -> Iterator[Product]:
    """Yield the 209 parts without a category: nine have a price, none is sold."""
    names = [f"{kind} {series}" for series in range(1, _PART_SERIES + 1) for kind in _PART_KINDS]
    for product_id, name in zip((*range(1, 5), *range(316, 521)), names, strict=True):
        price = Decimal(rng.randint(13_334, 19_692)) / 100 if product_id > 511 else Decimal("0.00")
        color = rng.choice((None, None, None, "Black", "Silver"))
        yield Product(
            product_id=product_id,
            name=name,
            product_number=_number(name, color or "", product_id),
            category=None,
            subcategory=None,
            model=None,
            color=color,
            size=None,
            size_unit=None,
            weight=Decimal(rng.randint(88, 1050)) if product_id % 7 == 0 else None,
            weight_unit="G  " if product_id % 7 == 0 else None,
            product_line=None,
            product_class=rng.choice((None, None, None, "L", "M", "H")),
            style=None,
            standard_cost=_cents(price * Decimal("0.55")),
            list_price=price,
            sell_start=_PARTS_SINCE,
            sell_end=None,
            sold=False,
            sold_online=False,
        )


def _number(name: str, color: str, product_id: int) -> str:
    """Return a number such as `RF-B706`: the name's initials, the colour's letter and the id."""
    initials = "".join(word[0] for word in name.replace("-", " ").split() if word[0].isalpha())[:2].upper()
    return f"{initials:X<2}-{_COLOR_LETTERS.get(color, color[:1])}{product_id}"


def _weight(category: Category, rng: random.Random) -> Decimal:
    low, high = (1400, 3000) if category == "Bikes" else (212, 800)
    return Decimal(rng.randint(low, high)) / 100


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"))
