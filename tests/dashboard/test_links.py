"""A link that is not understood says so and keeps its address; the app is run without a browser."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st

from adventure.dashboard import controls, late
from tests.dashboard.conftest import HOSTILE, Shop
from tests.dashboard.harness import choose, link_of


@pytest.fixture
def open_link(opened: Callable[..., Any]) -> Callable[..., Any]:
    return partial(opened, "from adventure.dashboard.sales import page\npage.show()")


def warnings(page: Any) -> str:
    return "\n".join(warning.value.replace("\\", "") for warning in page.warning)


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ({"period": "7"}, "This link asks for period “7”, but period can only be 3d, 7d,"),
        ({"country": "Atlantis"}, "This link asks for country “Atlantis”, which has no sales. Shown: all countries."),
        ({"country": ["France", "Atlantis"]}, "country “Atlantis”, which has no sales. Shown: France."),
        ({"channel": HOSTILE}, "This link asks for channel “<script>document.title='owned'</script>"),
        (
            {"period": "custom", "from": "2013-03-31", "to": "2013-03-01"},
            "asks for 31 March 2013 to 1 March 2013, which ends before it begins. Shown: ",
        ),
        ({"from": "2013-02-30", "to": "2013-03-01"}, "“2013-02-30” as the day from, which is no date"),
        ({"from": "2013-03-01"}, "This link has no day to. Shown: "),
        ({"from": "1999-01-01", "to": "1999-02-01"}, "asks for 1 January 1999 to 1 February 1999, when there are no"),
        ({"from": "1999-01-01", "to": "2013-03-01"}, "not all of which can be shown. Shown: 31 May 2011 to 1 March"),
        ({"period": "7d", "from": "2013-03-01", "to": "2013-03-31"}, "days from and to, which need period custom"),
        ({"grain": "minute"}, "This link asks for grain “minute”, but grain can only be auto,"),
        ({"measure": "profit"}, "but measure can only be revenue, orders, units. Shown: Revenue."),
        ({"countri": "France"}, "This link has “countri”, which this page does not know. Did it mean country?"),
    ],
    ids=str,
)
def test_a_link_that_is_not_understood_says_so_and_stays(open_link: Any, link: dict[str, Any], said: str) -> None:
    page = open_link(**link)
    assert said in warnings(page)
    kept = {name: [value] if isinstance(value, str) else value for name, value in link.items()}
    assert kept.items() <= link_of(page).items()


@pytest.mark.parametrize(
    "link",
    [
        {},
        {"period": "7d", "country": ["France", "Canada"], "channel": "online", "grain": "hour", "utm_source": "mail"},
        {"from": "2013-03-01", "to": "2013-03-31", "segment": "category"},
    ],
    ids=str,
)
def test_a_link_that_is_understood_has_no_warning(open_link: Any, link: dict[str, Any]) -> None:
    assert "This link" not in warnings(open_link(**link))


def test_without_a_comparison_no_card_shows_one(open_link: Any, shop: Shop) -> None:
    page = open_link(period="all")
    assert [metric.delta for metric in page.metric[:5]] == [""] * 5
    assert not [caption.value for caption in page.caption if "compared with" in caption.value]
    assert [caption.value for caption in page.caption if "no sales to compare with" in caption.value]
    today = datetime.now(UTC).date()
    page = open_link(**{"from": str(today - timedelta(days=20)), "to": str(today - timedelta(days=1))})
    assert all(metric.delta for metric in page.metric[:5])


@pytest.mark.parametrize("link", [{"period": "7d"}, {"from": "2013-03-01", "to": "2013-03-31"}], ids=str)
def test_no_table_shows_a_missing_value_as_none(opened: Callable[..., Any], link: dict[str, str]) -> None:
    """Streamlit's own tables write "None"."""
    page = opened(
        "import streamlit as st\nfrom adventure.dashboard.sales import page\n"
        "for chart in ('over-time', 'support', 'reviews'):\n    st.session_state[f'open-{chart}'] = True\n"
        "page.show()",
        **link,
    )
    assert len(page.dataframe) >= 3
    assert [frame.value for frame in page.dataframe if frame.value.isna().to_numpy().any()] == []
    [to_date] = [html.proto.body for html in page.get("html") if "revenue to date" in html.proto.body]
    assert "–</td>" in to_date, "the year to date has no span before it"
    assert "None" not in to_date


@pytest.mark.parametrize(
    ("drawn", "period"),
    [("late.PAGE", ["7d"]), ("late.CONTROL + 'top'", ["7d"]), ("late.CONTROL + 'market'", [])],
)
def test_a_late_request_of_another_page_leaves_the_url(
    opened: Callable[..., Any], drawn: str, period: list[str]
) -> None:
    """Streamlit calls on_change for unchanged controls, when a request from before a change of page runs after it."""
    page = opened(
        "import streamlit as st\nfrom adventure.dashboard import controls, late\nlate.note_page()\n"
        "controls.choice(st, 'Ranked by', 'top', {'revenue': 'Revenue', 'units': 'Units'})\n"
        f"st.session_state[{drawn}] = ''\n"
        "st.button('late', on_click=controls.take_over, args=('top', 'revenue', 'period'))",
        period="7d",
    )
    choose(page.button_group[0], "revenue")
    page.button[0].click().run()
    assert not page.exception
    assert link_of(page).get("period", []) == period


def test_a_refresh_leaves_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    request = SimpleNamespace(page_script_hash="", current_fragment_id="watch", fragment_ids_this_run=["watch"])
    removed: list[str] = []
    monkeypatch.setattr(late, "get_script_run_ctx", lambda: request)
    monkeypatch.setattr(controls, "remove_params", lambda *names: removed.extend(names))
    monkeypatch.setattr(st, "session_state", {"top": "units"})
    monkeypatch.setattr(controls, "_requested", lambda name: ["orders"])
    late.note_refresh()
    controls.take_over("top", "revenue", "period")
    assert removed == []
    request.fragment_ids_this_run.append("the user's")
    controls.take_over("top", "revenue", "period")
    assert removed == ["top", "period"]


def test_a_change_writes_its_value_over_that_of_the_session(
    open_link: Callable[..., Any], shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removing the session's own value first would make the browser draw the page once more."""
    page = open_link(period="7d", country="Atlantis")
    removed: list[str] = []
    remove = controls.remove_params
    monkeypatch.setattr(controls, "remove_params", lambda *names: (removed.extend(names), remove(*names)))
    for control in page.button_group:  # The harness of 1.51 forgets their values.
        choose(control, page.session_state[control.key])
    choose(page.button_group(key="period"), "3d")
    page.multiselect(key="country").set_value(["France"])
    page.run()
    assert not page.exception
    assert link_of(page) | {"period": ["3d"], "country": ["France"]} == link_of(page)
    assert "period" not in removed
    assert "country" in removed
