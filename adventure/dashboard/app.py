"""The app with its two pages. Streamlit runs this file from top to bottom for each visitor and each control change."""

import streamlit as st

from adventure.dashboard.layout import style
from adventure.dashboard.pipeline import page as pipeline
from adventure.dashboard.sales import page as sales


def run() -> None:
    """Draw the selected page."""
    st.set_page_config(page_title="Adventure", page_icon="🚲", layout="wide")
    style()
    pages = [
        st.Page(sales.show, title="Sales", icon=":material/monitoring:", url_path="", default=True),
        st.Page(pipeline.show, title="Pipeline", icon=":material/account_tree:", url_path="pipeline"),
        # Streamlit serves the default page at / alone. The style hides this entry.
        st.Page(sales.show, title="Sales", url_path="sales"),
    ]
    page = st.navigation(pages, position="top")
    with st.container(horizontal=True, key="pages"):
        for each in pages[:-1]:
            st.page_link(each)
    page.run()


if __name__ == "__main__":
    run()
