"""What both pages are laid out with."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from adventure.core.clock import utc_now
from adventure.core.errors import WarehouseError
from adventure.dashboard.colours import Theme
from adventure.dashboard.data import cached, processor, tasks_interval_sec
from adventure.dashboard.pipeline import state as pipeline_state
from adventure.dashboard.pipeline.verdict import Problem, problems
from adventure.destinations.published import Copy, Identity
from adventure.factory import open_report

LOOK_EVERY_SEC = None if open_report().is_metered else 5
"""How often an open page looks for a newer publication by itself. Never where each look costs: a page that is left open
would keep the warehouse awake."""

_STYLE = """
<style>
.stMainBlockContainer {padding-top: 4.2rem; padding-bottom: 3rem; max-width: 1400px}
[data-testid="stMetricLabel"] p {font-weight: 600}
/* Streamlit's own greys are too faint to read: 4.5:1 is the least (WCAG 2.1, 1.4.3). */
[data-testid="stCaptionContainer"] {opacity: 1}
[data-testid="stCaptionContainer"] p {color: color-mix(in srgb, CanvasText 72%, transparent)}
/* A target to touch is 24 pixels wide and high at least (WCAG 2.2, 2.5.8). */
[data-testid="stElementToolbarButton"] button {min-width: 24px; min-height: 24px}
.stMultiSelect [data-baseweb="select"] div {color: inherit}
@media (max-width: 640px) {
  .stMainBlockContainer {padding-left: 1rem; padding-right: 1rem}
  /* Two cards beside each other: the chart below them is seen without turning the page over and over. */
  .st-key-headlines .stColumn {min-width: calc(50% - 0.5rem); flex: 1 1 calc(50% - 0.5rem)}
  .st-key-headlines [data-testid="stMetricValue"] {font-size: 1.7rem}
}
</style>
"""


def style() -> None:
    """Less room above, none lost at the sides of a small screen."""
    st.html(_STYLE)


def theme() -> Theme:
    """Whether the page is light or dark."""
    return "dark" if st.context.theme.type == "dark" else "light"


def watch(*seen: tuple[Copy, Identity | None]) -> None:
    """Draws the page anew when one of the copies is not any more what was seen."""
    if any(copy.identity() != identity for copy, identity in seen):
        st.rerun(scope="app")


def current_problems() -> list[Problem]:
    """What is wrong with the pipeline, for a page that shows only its outcome; nothing where nothing is known of it."""
    copy = open_report()
    identity = copy.identity()
    if identity is None:
        return []
    try:
        return problems(pipeline_state.read(cached(copy, identity)), processor(), utc_now(), tasks_interval_sec())
    except WarehouseError:
        return []


def empty(why: str) -> None:
    """In the place of what there is nothing to show of: why, and what to do."""
    st.info(why, icon=":material/search_off:")


def damaged(error: WarehouseError) -> None:
    """What was published and cannot be read."""
    st.error(str(error), icon=":material/error:")


def table(frame: pd.DataFrame, name: str, *, exact: pd.DataFrame | None = None, columns: Mapping[str, Any]) -> None:
    """A table, and the same as a CSV file.

    Args:
        name: of the file, without its ending; also tells the table from the page's others.
        exact: what the file holds, where the table shows rounded numbers.
        columns: how columns are shown, by name.
    """
    st.dataframe(frame, hide_index=True, width="stretch", column_config=columns, key=f"table-{name}")
    download(frame if exact is None else exact, name)


def download(frame: pd.DataFrame, name: str) -> None:
    """The frame as a CSV file."""
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
