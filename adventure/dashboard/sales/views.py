"""Named views: links that hold all that a page shows.

The address of the page is the view, so a bookmark keeps it, and the dashboard writes nothing. The seed `views` has
those that everybody sees.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import streamlit as st

from adventure.dashboard import controls, format
from adventure.destinations.published import Query

NAME = "view"
"""The name of the view, in the session and in the URL. The browser's tab shows it, and so does a bookmark."""
_WANTED = "open-view"
"""In the session: a saved view to open."""


@dataclass(frozen=True)
class View:
    """A saved view: a page, and the values of its controls as in its address."""

    name: str
    page: str
    params: Mapping[str, list[str]]


def saved_views(query: Query) -> list[View]:
    """Return the views of the seed, by name."""
    rows = query("select view_name, link from sales_views order by view_name", [])
    return [view(name, link) for name, link in rows.to_numpy().tolist()]


def view(name: str, link: str) -> View:
    """Return the view of a link, such as `orders?period=7d&country=France`, or a whole address."""
    parts = urlsplit(link)
    page = parts.path.rstrip("/").rpartition("/")[2]
    return View(name, "orders" if page == "orders" else "sales", parse_qs(parts.query))


def follow(page: Any, pages: Mapping[str, Any]) -> None:
    """Open the saved view that was chosen in the last run.

    Args:
        page: the current page.
        pages: the pages of saved views, by name.
    """
    wanted: View | None = st.session_state.get(_WANTED)
    if wanted is None or wanted.page not in pages:
        return
    target = pages[wanted.page]
    if page is not target:
        st.switch_page(target)
    del st.session_state[_WANTED]
    # Everything that another view has set.
    controls.reset_all()
    st.query_params.from_dict({**wanted.params, NAME: wanted.name})


def title() -> str:
    """Return the title of the browser's tab."""
    name = st.query_params.get(NAME, "").strip()
    return f"{name} · Adventure" if name else "Adventure"


def button() -> bool:
    """Show the button that opens `dialog`, and return whether it was clicked."""
    return st.button("Views", icon=":material/bookmark:", type="tertiary", key="views")


@st.dialog("Views")
def dialog(query: Query, page: str, *, knows_address: bool) -> None:
    """Show the saved views, and the link of the current one under a name. Call it when all controls are drawn.

    Args:
        knows_address: the address that this app sees is that of the browser. Inside Snowflake it is not.
    """
    if _WANTED in st.session_state:
        st.rerun()
    found = saved_views(query)
    for number, each in enumerate(found):
        st.button(
            format.markdown(each.name),
            icon=":material/bookmark:",
            type="tertiary",
            on_click=st.session_state.update,
            kwargs={_WANTED: each},
            key=f"view-{number}",
        )
    if not found:
        st.caption("No views are saved for everyone yet.")
    st.divider()
    name = controls.text("Name this view", NAME).strip()
    params = {key: st.query_params.get_all(key) for key in st.query_params}
    link = f"{page}?{urlencode(params, doseq=True)}"
    if knows_address:
        st.caption("The link of what you see. The address of the browser is the same, so a bookmark keeps it.")
        address = (st.context.url or "").partition("?")[0]
        st.code(f"{address}?{urlencode(params, doseq=True)}", language=None, wrap_lines=True)
    else:
        st.caption("The address of the browser holds what you see: copy it, or keep it as a bookmark.")
    if name:
        st.caption(
            "To list this view here for everyone, add the line to `dbt/seeds/views.csv`. The next build shows it."
        )
        st.code(_row(name, link), language=None, wrap_lines=True)


def _row(name: str, link: str) -> str:
    """Return a line of the seed."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([name, link])
    return text.getvalue()
