"""The raw documents of the synthesised history have the published distributions of AdventureWorks."""

import json
from collections import Counter
from decimal import Decimal
from statistics import mean, quantiles
from typing import Any

import orjson
import pytest

from adventure.core.settings import Settings
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse

Document = dict[str, Any]

MONTHS = """
2011-05 5 38 8.30, 2011-06 141 0 1.00, 2011-07 156 75 4.07, 2011-08 150 100 4.97, 2011-09 157 0 1.00,
2011-10 174 153 6.37, 2011-11 230 0 1.00, 2011-12 188 40 2.48, 2012-01 193 143 5.10, 2012-02 182 37 3.09,
2012-03 219 85 4.38, 2012-04 201 68 3.79, 2012-05 221 72 6.63, 2012-06 251 139 8.24, 2012-07 274 111 6.39,
2012-08 212 73 5.68, 2012-09 219 133 7.28, 2012-10 207 114 6.04, 2012-11 318 65 3.40, 2012-12 246 132 5.05,
2013-01 294 106 3.77, 2013-02 251 74 5.23, 2013-03 307 134 5.925, 2013-04 326 102 4.73, 2013-05 333 95 6.01,
2013-06 533 186 7.25, 2013-07 1564 176 4.35, 2013-08 1690 99 3.30, 2013-09 1612 179 3.85, 2013-10 1792 176 3.78,
2013-11 2007 96 3.05, 2013-12 1875 175 3.29, 2014-01 1966 175 3.29, 2014-02 1753 3 2.44, 2014-03 2128 271 4.15,
2014-04 2113 2 2.51, 2014-05 2232 179 3.58, 2014-06 939 0 2.27
"""
"""Month, online orders, reseller orders, lines per order."""


def query(settings: Settings, statement: str) -> list[tuple[Any, ...]]:
    return DuckDBWarehouse(settings).execute(statement)


def documents(settings: Settings, table: str) -> list[Document]:
    return [orjson.loads(raw) for (raw,) in query(settings, f"select raw::varchar from {table}")]


@pytest.fixture(scope="module")
def orders(settings: Settings) -> list[Document]:
    return documents(settings, "ecom.sales_order_raw")


@pytest.fixture(scope="module")
def lines(orders: list[Document]) -> list[Document]:
    """Return each line, with whether its order is a reseller's."""
    return [line | {"store": not order["OnlineOrderFlag"]} for order in orders for line in order["OrderDetails"]]


def share(values: list[Any], *wanted: Any) -> list[float]:
    """Return the share of each wanted value among the values, rounded to a thousandth."""
    counts = Counter(values)
    return [round(counts[value] / len(values), 3) for value in wanted]


def of_channel(orders: list[Document], *, online: bool) -> list[Document]:
    return [order for order in orders if bool(order["OnlineOrderFlag"]) == online]


@pytest.mark.parametrize("month", [text.split() for text in MONTHS.replace("\n", " ").split(", ")], ids=lambda m: m[0])
def test_months(orders: list[Document], month: list[str]) -> None:
    name, online, reseller, lines_per_order = month
    theirs = [order for order in orders if order["OrderDate"].startswith(name)]
    assert len(of_channel(theirs, online=True)) == int(online)
    assert len(of_channel(theirs, online=False)) == int(reseller)
    per_order = mean(len(order["OrderDetails"]) for order in theirs)
    assert per_order == pytest.approx(float(lines_per_order), abs=0.0051)


@pytest.mark.parametrize(
    ("which", "card", "rate", "purchase", "per_order"),
    [
        ("2013-03", 0.964, 0.442, 0.304, 5.925),
        ("all", 0.964, 0.444, 0.121, 3.856),
        ("online", 0.959, 0.463, 0, 2.184),
        ("reseller", 0.998, 0.309, 1, 16.006),
    ],
)
def test_shares(
    orders: list[Document], which: str, card: float, rate: float, purchase: float, per_order: float
) -> None:
    theirs = [order for order in orders if which == "all" or order["OrderDate"].startswith(which)]
    theirs = theirs or of_channel(orders, online=which == "online")
    filled = {
        key: round(sum(order[key] is not None for order in theirs) / len(theirs), 3)
        for key in ("CreditCardID", "CreditCardApprovalCode", "CurrencyRateID", "PurchaseOrderNumber", "SalesPersonID")
    }
    assert list(filled.values()) == [card, card, rate, purchase, purchase]
    assert round(mean(len(order["OrderDetails"]) for order in theirs), 3) == per_order
    for one, other in (("CreditCardID", "CreditCardApprovalCode"), ("PurchaseOrderNumber", "SalesPersonID")):
        assert all((order[one] is None) == (order[other] is None) for order in theirs)
    assert all(order["Comment"] is None for order in theirs)


def test_sizes_of_online_orders(orders: list[Document]) -> None:
    theirs = [(order["OrderDate"], len(order["OrderDetails"])) for order in of_channel(orders, online=True)]
    late = [size for date, size in theirs if date >= "2013-07"]
    assert share(late, 1, 2, 3, 4, 5, 6) == pytest.approx([0.192, 0.368, 0.265, 0.139, 0.031, 0.005], abs=0.01)
    assert {size for date, size in theirs if date < "2013-05"} == {1}


def test_sizes_of_reseller_orders(orders: list[Document]) -> None:
    sizes = [len(order["OrderDetails"]) for order in of_channel(orders, online=False)]
    assert share(sizes, 1, 2, 3, 4) == pytest.approx([0.155, 0.076, 0.066, 0.056], abs=0.01)
    cuts = quantiles(sizes, n=100)
    assert [cuts[percent - 1] for percent in (25, 50, 75, 90, 99)] == pytest.approx([3, 9, 26, 41, 58], abs=2)
    assert max(sizes) == 72


def test_quantities(lines: list[Document]) -> None:
    assert {line["OrderQty"] for line in lines if not line["store"]} == {1}
    pieces = [line["OrderQty"] for line in lines if line["store"]]
    assert share(pieces, 1, 2, 3, 4, 5, 6) == pytest.approx([0.239, 0.233, 0.165, 0.123, 0.072, 0.054], abs=0.01)
    assert max(pieces) == 44


def test_discounts_are_exact_and_only_for_resellers(lines: list[Document]) -> None:
    counts = Counter(line["UnitPriceDiscount"] for line in lines if line["UnitPriceDiscount"])
    assert counts == {0.02: 1310, 0.05: 606, 0.1: 178, 0.15: 590, 0.2: 231, 0.3: 61, 0.35: 137, 0.4: 169}
    assert all(line["store"] for line in lines if line["UnitPriceDiscount"])


def test_prices(settings: Settings, lines: list[Document]) -> None:
    listed = dict(query(settings, "select productid, listprice from adventure_db.product_prod_db"))
    shares = [(line["store"], round(line["UnitPrice"] / float(listed[line["ProductID"]]), 2)) for line in lines]
    assert {ratio for store, ratio in shares if not store} == {1.0}
    of_stores = [ratio for store, ratio in shares if store]
    assert share(of_stores, 0.6) == pytest.approx([0.71], abs=0.01)
    assert set(of_stores) == {0.54, 0.55, 0.58, 0.6}


def test_amounts_add_up_to_the_last_digit(settings: Settings) -> None:
    wrong = 0
    for (raw,) in query(settings, "select raw::varchar from ecom.sales_order_raw"):
        order = _exactly(raw)
        lines = order["OrderDetails"]
        gross = sum(line["OrderQty"] * line["UnitPrice"] for line in lines)
        tax, freight = (("0.08", "0.025"), ("0.096", "0.03"))[not order["OnlineOrderFlag"]]
        taxed = order["SubTotal"] if order["OnlineOrderFlag"] else gross
        wrong += any(
            (
                any(
                    line["LineTotal"] != line["OrderQty"] * line["UnitPrice"] * (1 - line["UnitPriceDiscount"])
                    for line in lines
                ),
                len({line["ProductID"] for line in lines}) != len(lines),
                abs(order["TaxAmt"] - taxed * Decimal(tax)) > Decimal("0.00005"),
                abs(order["Freight"] - order["SubTotal"] * Decimal(freight)) > Decimal("0.00005"),
                order["TotalDue"] != order["SubTotal"] + order["TaxAmt"] + order["Freight"],
            )
        )
    assert wrong == 0


def _exactly(raw: str) -> Document:
    loaded: Document = json.loads(raw, parse_float=Decimal, parse_int=Decimal)
    return loaded


def test_totals(orders: list[Document]) -> None:
    totals = [order["TotalDue"] for order in orders]
    cuts = quantiles(totals, n=100)
    assert [cuts[percent - 1] for percent in (25, 50, 75, 95)] == pytest.approx([62.95, 865, 2615, 20431], rel=0.06)
    # The lowest totals are single cheap pieces, so the quantile jumps from one price to the next.
    assert sum(total < 9.95 for total in totals) / len(totals) == pytest.approx(0.05, abs=0.005)
    assert max(totals) == pytest.approx(187_488, rel=0.05)
    assert mean(totals) == pytest.approx(3916, rel=0.02)
    assert mean(order["TotalDue"] for order in of_channel(orders, online=True)) == pytest.approx(1173, rel=0.02)
    assert mean(order["TotalDue"] for order in of_channel(orders, online=False)) == pytest.approx(23851, rel=0.02)


def test_territories_are_exact(orders: list[Document]) -> None:
    assert Counter(order["TerritoryID"] for order in orders) == {
        1: 4594, 2: 352, 3: 385, 4: 6224, 5: 486, 6: 4067, 7: 2672, 8: 2623, 9: 6843, 10: 3219,
    }  # fmt: skip


def test_individuals_by_country_are_exact(settings: Settings) -> None:
    held = query(
        settings,
        "select countryregion, count(*) from adventure_db.customer_prod_db where customerid < 29484 group by 1",
    )
    assert dict(held) == {
        "United States": 7819,
        "Australia": 3591,
        "Canada": 1571,
        "United Kingdom": 1913,
        "France": 1810,
        "Germany": 1780,
    }


def test_orders_of_a_customer(orders: list[Document]) -> None:
    individuals = list(Counter(order["CustomerID"] for order in of_channel(orders, online=True)).values())
    assert len(individuals) == 18_484
    assert share(individuals, 1, 2, 3, 4) == [0.629, 0.295, 0.063, 0.008]
    contacts = list(Counter(order["CustomerID"] for order in of_channel(orders, online=False)).values())
    assert len(contacts) == 635
    assert share(contacts, 4, 8, 12) == [0.372, 0.235, 0.101]
    assert round(mean(contacts), 2) == 5.99


def test_resellers_order_on_one_day_of_a_month(orders: list[Document]) -> None:
    days = {order["OrderDate"][:10] for order in of_channel(orders, online=False)}
    assert len({day[:7] for day in days}) == len(days) == 34


def test_sales_by_category(settings: Settings, lines: list[Document]) -> None:
    categories = dict(query(settings, "select productid, productcategory from adventure_db.product_prod_db"))
    counts = Counter(categories[line["ProductID"]] for line in lines)
    assert counts == pytest.approx(
        {"Accessories": 41_194, "Bikes": 40_031, "Clothing": 21_394, "Components": 18_698}, rel=0.02
    )
    revenue: Counter[str] = Counter()
    for line in lines:
        revenue[categories[line["ProductID"]]] += line["LineTotal"] / 1e6
    assert revenue == pytest.approx(
        {"Accessories": 1.27, "Bikes": 94.65, "Clothing": 2.12, "Components": 11.80}, rel=0.05
    )
    assert "Components" not in {categories[line["ProductID"]] for line in lines if not line["store"]}
    assert len({line["ProductID"] for line in lines}) == 266


def test_products(settings: Settings) -> None:
    held = query(
        settings,
        "select coalesce(productcategory, '-'), count(*), min(listprice)::double, max(listprice)::double"
        " from adventure_db.product_prod_db group by 1 order by 1",
    )
    assert [row for row in held if row[0] != "-"] == [
        ("Accessories", 29, 2.29, 159),
        ("Bikes", 97, 539.99, 3578.27),
        ("Clothing", 35, 8.99, 89.99),
        ("Components", 134, 20.24, 1431.5),
    ]
    assert next(row for row in held if row[0] == "-")[1] == 209
    [(ended, cost)] = query(
        settings,
        "select count(sellenddate), avg(standardcost / nullif(listprice, 0))::double from adventure_db.product_prod_db",
    )
    assert ended == 98
    assert cost == pytest.approx(0.55, abs=0.01)


def test_vendors(settings: Settings) -> None:
    held = query(settings, "select creditrating::int, count(*) from adventure_db.vendor_prod_db group by 1")
    assert dict(held) == {1: 84, 2: 9, 3: 7, 4: 2, 5: 2}
    assert query(
        settings,
        "select sum(preferredvendorstatus::int), sum(activeflag::int) from adventure_db.vendor_prod_db",
    ) == [(93, 100)]


def test_inventory(settings: Settings) -> None:
    held = query(
        settings,
        "select count(distinct locationid), min(quantity) >= 0, max(quantity) <= 924,"
        " quantile_cont(quantity, [0.25, 0.5, 0.75]) from adventure_db.inventory_prod_db",
    )
    assert held[0][:3] == (14, True, True)
    assert held[0][3] == pytest.approx([140, 299, 481], rel=0.1)


def test_purchase_orders(settings: Settings) -> None:
    purchases = documents(settings, "ecom.purchase_order_raw")
    assert len(purchases) == 8845
    by_id = {purchase["PurchaseOrderID"]: purchase for purchase in purchases}
    assert Counter(purchase["Status"] for purchase in by_id.values()) == {4: 3689, 1: 225, 3: 86, 2: 12}
    for purchase in by_id.values():
        assert purchase["TaxAmt"] == pytest.approx(purchase["SubTotal"] * 0.08, abs=0.0002)
        assert purchase["Freight"] == pytest.approx(purchase["SubTotal"] * 0.025, abs=0.0002)


def test_email_events_and_their_quirks(settings: Settings, orders: list[Document]) -> None:
    older, newer = (documents(settings, f"{name}_raw") for name in ("ecom.email_campaign", "new_mktg.email_mktg"))
    assert len(older) == pytest.approx(165_000, rel=0.01)
    assert len(newer) == pytest.approx(51_000, rel=0.01)
    assert len(older) + len(newer) == 216_801
    old_ids, new_ids = {event["event_id"] for event in older}, {event["EventID"] for event in newer}
    assert len(old_ids) < len(older)
    assert len(new_ids) < len(newer)
    assert old_ids & new_ids
    assert len({event["campaign_id"] for event in older}) == 16
    assert any(" " in event["campaign_id"] for event in newer)
    assert any(event["eventType"] != event["eventType"].lower() for event in newer)
    converted = Counter(event["orderId"] for event in newer if event["eventType"].lower() == "conversion")
    assert max(converted.values()) > 1
    customers = {order["SalesOrderID"]: order["CustomerID"] for order in orders}
    assert all(customers[event["order_id"]] == event["customer_id"] for event in older if event["order_id"])
    assert all(event["order_id"] is not None for event in older if event["event_type"] == "conversion")
