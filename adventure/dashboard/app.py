"""The app with its pages. Streamlit runs this file from top to bottom for each visitor and each control change."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import streamlit as st

from adventure.dashboard import late, models
from adventure.dashboard.layout import style
from adventure.dashboard.pipeline import page as pipeline
from adventure.dashboard.published import Contents, read_contents
from adventure.dashboard.sales import orders_page, views
from adventure.dashboard.sales import page as sales


class _Entry(NamedTuple):
    title: str
    icon: str
    path: str
    show: Callable[[], None]


def run() -> None:
    """Draw the selected page."""
    st.set_page_config(page_title=views.title(), page_icon="🚲", layout="wide")
    style()
    contents = read_contents()
    entries = _entries(contents)
    first, *others = entries
    pages = [st.Page(first.show, title=first.title, icon=first.icon, url_path="", default=True)]
    pages += [st.Page(each.show, title=each.title, icon=each.icon, url_path=each.path) for each in others]
    # Streamlit serves the default page at / alone. The style hides the entry of the Sales page.
    unlisted = [st.Page(first.show, title=first.title, url_path=first.path)]
    if not contents.has_sales:
        show = partial(models.show_unbuilt, contents.unbuilt) if contents.unbuilt else sales.show
        unlisted.append(st.Page(show, title="Sales", url_path="sales"))
    page = st.navigation([*pages, *unlisted], position="top" if contents.has_sales else "hidden")
    late.note_page()
    views.follow(page, {entry.path: made for entry, made in zip(entries, pages, strict=True)})
    # The style shows `pages` on a phone alone.
    with st.container(horizontal=True, key="pages" if contents.has_sales else "own-pages"):
        for each in pages if contents.has_sales or len(pages) > 1 else []:
            st.page_link(each)
    page.run()


def _entries(contents: Contents) -> list[_Entry]:
    """Return the pages to list: Sales and Models only where there is something to show."""
    entries = [_Entry("Pipeline", ":material/account_tree:", "pipeline", pipeline.show)]
    if contents.panels:
        show = partial(models.show, contents.panels)
        entries.insert(0, _Entry("Models", ":material/bar_chart:", "models", show))
    if contents.has_sales:
        entries.insert(0, _Entry("Orders", ":material/receipt_long:", "orders", orders_page.show))
        entries.insert(0, _Entry("Sales", ":material/monitoring:", "sales", sales.show))
    return entries


if __name__ == "__main__":
    run()
