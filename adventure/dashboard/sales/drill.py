"""The way from a figure of the Sales page to its orders. The filters of both pages are the same controls."""

from datetime import date
from typing import Any

import streamlit as st

from adventure.dashboard import controls
from adventure.dashboard.sales.metrics import Segment
from adventure.dashboard.sales.orders import Dimension

MORE: tuple[Dimension, ...] = ("state", "salesperson", "category", "product", "loyalty", "campaign")
"""The filters of the Orders page beside those of the Sales page."""
_WANTED = "open-orders"
"""In the session: a button or a row of the Sales page asks for the Orders page."""


def open_orders(chosen: dict[Dimension, str] | None = None, days: tuple[date, date] | None = None) -> None:
    """Open the Orders page with the filters of the Sales page and these. Made for a callback: see `follow`."""
    controls.reset(*MORE, "search")
    for name, value in (chosen or {}).items():
        controls.pick(name, [value])
    if days is not None:
        controls.reset("period", "days")
        st.session_state["period"], st.session_state["days"] = "custom", days
    st.session_state[_WANTED] = True


def pick_segment(segment: Segment, value: str) -> None:
    """Show a segment alone: on the Sales page if it has this filter, else on the Orders page. Made for a callback."""
    if segment == "country" or segment == "channel":
        controls.pick(segment, [value])
    else:
        open_orders({segment: value})


def follow(page: Any) -> None:
    """Change to the page, if a callback asked for the orders."""
    if st.session_state.pop(_WANTED, False):
        st.switch_page(page)


def button() -> None:
    """Show the button that opens the orders behind the figures."""
    st.button("Show the orders", icon=":material/receipt_long:", type="tertiary", on_click=open_orders, key="to-orders")
