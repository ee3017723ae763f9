"""Layout and components shared by both pages."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from adventure.core.clock import utc_now
from adventure.core.errors import WarehouseError
from adventure.dashboard.colours import Theme
from adventure.dashboard.data import cached_query, health
from adventure.destinations.published import PublishedDataset, Version
from adventure.factory import open_report
from adventure.monitoring.health.problem import Problem
from adventure.monitoring.health.published import read_report
from adventure.monitoring.health.rules import find_problems

REFRESH_SEC = None if open_report().is_metered else 5
"""Seconds between the checks of an open page for newer data. None if checks cost credits: a page left open would keep
the warehouse awake."""

_STYLE = """
<style>
.stMainBlockContainer {padding-top: 4.2rem; padding-bottom: 3rem; max-width: 1400px}
[data-testid="stMetricLabel"] p {font-weight: 600}
/* Wrap the label of a narrow card. Streamlit cuts it. */
[data-testid="stMetricLabel"] :is(div, p) {white-space: normal; overflow: visible}
/* Streamlit's greys are too faint to read: WCAG 2.1 (1.4.3) requires 4.5:1. */
[data-testid="stCaptionContainer"] {opacity: 1}
[data-testid="stCaptionContainer"] p {color: color-mix(in srgb, CanvasText 72%, transparent)}
/* WCAG 2.2 (2.5.8) requires touch targets of at least 24 by 24 pixels. */
[data-testid="stElementToolbarButton"] button {min-width: 24px; min-height: 24px}
.stMultiSelect [data-baseweb="select"] div {color: inherit}
@media (max-width: 640px) {
  .stMainBlockContainer {padding-left: 1rem; padding-right: 1rem}
  /* Show two cards in a row, so that the chart below them needs little scrolling. */
  .st-key-headlines .stColumn {min-width: calc(50% - 0.5rem); flex: 1 1 calc(50% - 0.5rem)}
  .st-key-headlines [data-testid="stMetricValue"] {font-size: 1.7rem}
}
</style>
"""


def style() -> None:
    """Reduce the space above the page, and at the sides of a small screen."""
    st.html(_STYLE)


def theme() -> Theme:
    """Return whether the page is light or dark."""
    return "dark" if st.context.theme.type == "dark" else "light"


def rerun_on_publish(*seen: tuple[PublishedDataset, Version | None]) -> None:
    """Rerun the page when a newer version of a dataset has been published."""
    if any(dataset.version() != version for dataset, version in seen):
        st.rerun(scope="app")


def current_problems() -> list[Problem]:
    """Return the pipeline's problems, for a page that shows only its output. Empty if there is no readable report."""
    dataset = open_report()
    version = dataset.version()
    if version is None:
        return []
    try:
        return find_problems(health(read_report(cached_query(dataset, version)), utc_now()))
    except WarehouseError:
        return []


def show_empty(why: str) -> None:
    """Show why there is nothing to show here, and what to do."""
    st.info(why, icon=":material/search_off:")


def show_error(error: WarehouseError) -> None:
    """Show that the published data cannot be read."""
    st.error(str(error), icon=":material/error:")


def table(frame: pd.DataFrame, name: str, *, exact: pd.DataFrame | None = None, columns: Mapping[str, Any]) -> None:
    """Show a table and a button that downloads it as a CSV file.

    Args:
        name: the file's name without its extension; unique on the page.
        exact: the file's content, where the table shows rounded numbers.
        columns: the display of columns, by name.
    """
    st.dataframe(frame, hide_index=True, width="stretch", column_config=columns, key=f"table-{name}")
    download(frame if exact is None else exact, name)


def download(frame: pd.DataFrame, name: str) -> None:
    """Show a button that downloads the frame as a CSV file."""
    st.download_button(
        "Download CSV",
        frame.to_csv(index=False).encode(),
        f"{name}.csv",
        "text/csv",
        icon=":material/download:",
        type="tertiary",
        key=f"download-{name}",
        on_click="ignore",
    )
