"""Test the catalogue's counts and distributions, and that it needs only the standard library."""

import subprocess
import sys
from collections import Counter
from datetime import date
from decimal import Decimal

import pytest

from adventure.demo.catalogue import TERRITORIES, customers, products, sold_products


def test_504_products_by_category() -> None:
    assert Counter(product.category for product in products()) == {
        None: 209,
        "Accessories": 29,
        "Bikes": 97,
        "Clothing": 35,
        "Components": 134,
    }


@pytest.mark.parametrize(
    ("category", "lowest", "highest"),
    [
        ("Accessories", "2.29", "159.00"),
        ("Bikes", "539.99", "3578.27"),
        ("Clothing", "8.99", "89.99"),
        ("Components", "20.24", "1431.50"),
    ],
)
def test_list_prices_span_the_categorys_range(category: str, lowest: str, highest: str) -> None:
    prices = [product.list_price for product in products() if product.category == category]
    assert (min(prices), max(prices)) == (Decimal(lowest), Decimal(highest))


def test_266_products_were_sold_under_ids_from_707_to_999() -> None:
    ids = [product.product_id for product in sold_products()]
    assert len(ids) == 266
    assert min(ids) >= 707
    assert max(ids) == 999


def test_98_products_are_no_longer_sold() -> None:
    assert sum(product.sell_end is not None for product in products()) == 98


def test_components_are_never_sold_online() -> None:
    assert not any(product.sold_online for product in products() if product.category == "Components")


def test_cost_is_about_55_percent_of_the_price() -> None:
    cost = sum(product.standard_cost for product in products())
    price = sum(product.list_price for product in products())
    assert Decimal("0.53") < cost / price < Decimal("0.57")


@pytest.mark.parametrize("attribute", ["product_id", "name", "product_number"])
def test_product_ids_names_and_numbers_are_unique(attribute: str) -> None:
    assert len({getattr(product, attribute) for product in products()}) == 504


def test_a_product_is_on_sale_from_its_start_to_its_end() -> None:
    ended = next(product for product in sold_products() if product.sell_end == date(2012, 5, 29))
    days = [date(2011, 5, 30), date(2011, 5, 31), date(2012, 5, 29), date(2012, 5, 30)]
    assert [ended.on_sale(day) for day in days] == [False, True, True, False]


def test_customer_ids_have_no_gaps() -> None:
    assert [customer.customer_id for customer in customers()] == list(range(11_000, 30_119))


def test_contacts_of_stores_follow_the_individuals() -> None:
    assert [c.is_reseller for c in customers()] == [False] * 18_484 + [True] * 635


def test_individuals_by_country() -> None:
    counted = Counter(customer.country for customer in customers() if not customer.is_reseller)
    assert counted == {
        "United States": 7819,
        "Australia": 3591,
        "Canada": 1571,
        "United Kingdom": 1913,
        "France": 1810,
        "Germany": 1780,
    }


def test_territories_add_up_to_all_orders_of_the_history() -> None:
    assert [t.online_orders + t.reseller_orders for t in TERRITORIES] == [
        4594,
        352,
        385,
        6224,
        486,
        4067,
        2672,
        2623,
        6843,
        3219,
    ]


def test_account_numbers_tell_individuals_from_resellers() -> None:
    assert customers()[0].account_number == "10-4030-011000"
    assert customers()[-1].account_number == "10-4020-000635"
    assert len({customer.account_number for customer in customers()}) == 19_119


def test_only_resellers_have_a_sales_person() -> None:
    assert all((c.sales_person_id is not None) == c.is_reseller for c in customers())


def _in_a_new_process(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_is_the_same_in_every_process() -> None:
    program = "from adventure.demo.catalogue import customers, products; print(products(), customers())"
    assert _in_a_new_process(program) == _in_a_new_process(program)


def test_needs_only_the_standard_library() -> None:
    program = "import sys, adventure.demo.catalogue; print(*{name.split('.')[0] for name in sys.modules})"
    imported = set(_in_a_new_process(program).split())
    before = set(_in_a_new_process("import sys; print(*{name.split('.')[0] for name in sys.modules})").split())
    assert imported - before - sys.stdlib_module_names == {"adventure"}
