"""The app with its pages. Streamlit runs this file from top to bottom for each visitor and each control change."""

from functools import partial

import streamlit as st

from adventure.dashboard import models
from adventure.dashboard.layout import style
from adventure.dashboard.pipeline import page as pipeline
from adventure.dashboard.published import read_contents
from adventure.dashboard.sales import page as sales


def run() -> None:
    """Draw the selected page."""
    st.set_page_config(page_title="Adventure", page_icon="🚲", layout="wide")
    style()
    contents = read_contents()
    show_sales = partial(models.show_unbuilt, contents.unbuilt) if contents.unbuilt else sales.show
    sales_page = st.Page(
        show_sales, title="Sales", icon=":material/monitoring:", url_path="sales", default=contents.has_sales
    )
    others = [
        st.Page(
            pipeline.show,
            title="Pipeline",
            icon=":material/account_tree:",
            url_path="pipeline",
            default=not contents.has_sales,
        ),
    ]
    if contents.panels:
        show_models = partial(models.show, contents.panels)
        others.insert(0, st.Page(show_models, title="Models", icon=":material/bar_chart:", url_path="models"))
    if contents.has_sales:
        st.navigation([sales_page, *others], position="top").run()
        return
    # The Sales page still answers at its URL, and says what is missing. Streamlit lists every page that has a URL, so
    # the links are drawn here.
    selected = st.navigation([*others, sales_page], position="hidden")
    if len(others) > 1:
        for place, each in zip(st.columns([1] * len(others) + [6]), others, strict=False):
            place.page_link(each)
    selected.run()


if __name__ == "__main__":
    run()
