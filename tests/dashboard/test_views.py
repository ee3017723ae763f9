"""A link holds all that a page shows, with a name; saved views open from a list."""

from pathlib import Path
from typing import Any

import pytest

from adventure import dashboard
from adventure.dashboard.sales import views
from tests.dashboard.conftest import HOSTILE, Shop
from tests.dashboard.harness import choose, link_of


@pytest.mark.parametrize(
    ("link", "page", "params"),
    [
        ("sales?period=7d&country=France&country=Canada", "sales", {"period": ["7d"], "country": ["France", "Canada"]}),
        ("orders?search=a%26b&page=3", "orders", {"search": ["a&b"], "page": ["3"]}),
        ("http://host:8501/orders?list=lines", "orders", {"list": ["lines"]}),
        ("?grain=week", "sales", {"grain": ["week"]}),
        ("", "sales", {}),
    ],
)
def test_a_link_is_a_page_and_its_controls(link: str, page: str, params: dict[str, list[str]]) -> None:
    assert views.view("x", link) == views.View("x", page, params)


ORDERS = "from adventure.dashboard.sales import orders_page\norders_page.show()"


def click(page: Any, key: str) -> None:
    for control in page.button_group:
        # The harness always treats the selection as a list, even for controls with a single choice.
        choose(control, page.session_state[control.key])
    page.button(key=key).click().run()
    assert not page.exception


def test_the_page_of_a_list_is_in_the_link(opened: Any) -> None:
    page = opened(ORDERS, period="90d", list="lines", search="bike")
    click(page, "older")
    click(page, "older")
    assert link_of(page)["page"] == ["3"]
    rows = list(page.dataframe[-1].value["sales_order_number"])
    link = link_of(page)
    assert {"search", "list", "period"} < set(link)
    again = opened(ORDERS, **link)
    assert list(again.dataframe[-1].value["sales_order_number"]) == rows
    again.text_input(key="search").set_value("tire")
    click(again, "newer")
    assert "page" not in again.query_params, "another selection begins at its first page"


@pytest.mark.parametrize("number", ["0", "99999", "two", "-1", "9" * 30])
def test_a_page_that_does_not_exist_says_so_and_stays(opened: Any, number: str) -> None:
    page = opened(ORDERS, page=number)
    assert f"This link asks for page “{number}”" in "\n".join(each.value.replace("\\", "") for each in page.warning)
    assert link_of(page)["page"] == [number]


def test_the_dialog_has_the_link_of_what_is_shown_and_a_row_of_the_seed(opened: Any) -> None:
    page = opened(ORDERS, period="7d", country=["France", "Canada"], search='a"b,c')
    click(page, "views")
    [link] = [each.value for each in page.code]
    assert link.endswith("&country=France&country=Canada") or "country=France&country=Canada&" in link
    assert "search=a%22b%2Cc" in link
    page.text_input(key="view").set_value("North, west")
    click(page, "views")
    link, row = (each.value for each in page.code)
    assert "view=North%2C+west" in link
    assert row.startswith('"North, west",orders?')
    assert views.view("x", row.partition('",')[2]).params["country"] == ["France", "Canada"]


def test_a_saved_view_opens_with_its_controls_alone(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = [views.view(HOSTILE, "sales?period=7d&country=France&measure=orders")]
    monkeypatch.setattr(views, "saved_views", lambda query: saved)
    page = opened(Path(dashboard.__file__).with_name("app.py").read_text(), period="90d", channel="online")
    click(page, "views")
    click(page, "view-0")
    assert page.session_state["period"] == "7d"
    assert page.session_state["measure"] == "orders"
    assert page.session_state["country"] == ["France"]
    assert page.session_state["channel"] == []
    assert link_of(page)["view"] == [HOSTILE]


def test_the_seed_lists_views(shop: Shop) -> None:
    assert views.saved_views(shop.sales.query) == []
