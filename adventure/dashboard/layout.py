"""Layout and components shared by both pages."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from adventure.core.clock import utc_now
from adventure.core.errors import WarehouseError
from adventure.dashboard import exports
from adventure.dashboard.colours import Theme
from adventure.dashboard.data import cached_report, health
from adventure.dashboard.text_table import formatted, text_table
from adventure.dashboard.vega import Spec, named_data
from adventure.destinations.published import PublishedDataset, Version
from adventure.factory import open_report
from adventure.monitoring.health.problem import Problem
from adventure.monitoring.health.rules import find_problems
from adventure.monitoring.health.state import StreamState

REFRESH_SEC = None if open_report().is_metered else 5
"""Seconds between the checks of an open page for newer data. None if checks cost credits: a page left open would keep
the warehouse awake."""

_PICKED = "picked"
"""In the session: a row or a bar was clicked, which changes a filter outside its fragment."""
_CLICKS = "clicks"
"""In the session: how many bars were clicked."""

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
/* Our own button saves a table with all its digits, and our own table shows a chart's rows by their names. */
[data-testid="stElementToolbarButton"]:has(
  :is([aria-label="Download as CSV"], [aria-label="Show data"], [aria-label="Copy Vega-Lite spec"])
) {display: none}
/* The alias of the Sales page: it exists for links to /sales. */
[data-testid="stTopNavLinkContainer"]:has(a[href$="/sales"]),
[data-testid="stSidebarNavLinkContainer"]:has(a[href$="/sales"]) {display: none}
/* As high as a select, so that the labels of a row of controls are on one line. */
[data-testid="stButtonGroup"] button {min-height: 2.5rem}
.st-key-days {min-width: 16rem}
.stMultiSelect [data-baseweb="select"] div {color: inherit}
/* Chosen values: white on Streamlit's blue is too faint in the dark, and what remains of the field too small. */
.stMultiSelect :is([data-baseweb="tag"], [data-tag]) {background: color-mix(in srgb, CanvasText 14%, transparent)}
.stMultiSelect :is([data-baseweb="tag"], [data-tag], [data-baseweb="tag"] *, [data-tag] *) {color: CanvasText}
.stMultiSelect input {min-width: 24px; min-height: 24px}
/* Half of a tablet is too narrow for a table. */
@media (max-width: 1100px) {
  :is(.st-key-pair, .st-key-screen-pair) .stColumn {min-width: 100%; flex: 1 1 100%}
}
/* A phone folds the pages into a sidebar: show them on the page instead, and no bar that only opens the sidebar. */
.st-key-pages {display: none}
@media (max-width: 767px) {
  .st-key-pages {display: flex}
  [data-testid="stHeader"] {display: none}
  .stMainBlockContainer {padding-top: 1rem}
}
@media (max-width: 640px) {
  .stMainBlockContainer {padding-left: 1rem; padding-right: 1rem}
  /* Show two cards in a row, so that the chart below them needs little scrolling. */
  .st-key-headlines .stColumn {min-width: calc(50% - 0.5rem); flex: 1 1 calc(50% - 0.5rem)}
  .st-key-support .stColumn .stColumn {min-width: calc(50% - 0.5rem); flex: 1 1 calc(50% - 0.5rem)}
  .st-key-headlines [data-testid="stMetricValue"] {font-size: 1.7rem}
}
/* On paper: one A4 sheet, without controls and without the containers whose keys begin with "screen". The page scrolls
   in a box as high as the window, which the printer would cut off. */
@page {size: A4 landscape; margin: 8mm}
@media print {
  .stApp, [data-testid="stAppViewContainer"], [data-testid="stMain"] {
    position: static; overflow: visible; height: auto; display: block
  }
  .stMainBlockContainer {padding: 0; max-width: 1400px; margin: 0 auto; zoom: 0.72}
  /* Room for the list of unusual days and notes. */
  .stMainBlockContainer:has(.st-key-marks) {zoom: 0.68}
  .st-key-marks p {font-size: 0.7rem !important; line-height: 1.3 !important}
  /* After 1.51 Streamlit prints blocks instead of flexible boxes, with margins instead of gaps. */
  :where(.stMainBlockContainer) [data-testid="stVerticalBlock"] {display: flex !important; gap: 0.5rem !important}
  .stMainBlockContainer :is([data-testid="stLayoutWrapper"], [data-testid="stElementContainer"]) {
    margin-bottom: 0 !important
  }
  [data-testid="stHeader"], [data-testid="stSidebar"], [class*="st-key-screen"], [class*="st-key-pages"],
  .st-key-views, .st-key-to-orders, .stButtonGroup, .stMultiSelect, .stDateInput, .stDownloadButton, .stExpander,
  .stCheckbox, .stTextInput:has(input[value=""]),
  [data-testid="stTooltipIcon"], [data-testid="stWidgetLabel"] {display: none !important}
  /* The table beside the chart. */
  [data-testid="stVerticalBlock"]:has(> [data-testid="stLayoutWrapper"] > .st-key-paper-left) {flex-flow: row wrap}
  [data-testid="stVerticalBlock"]:has(> [data-testid="stLayoutWrapper"] > .st-key-paper-left) > * {flex: 0 0 100%}
  [data-testid="stLayoutWrapper"]:has(> .st-key-paper-left) {flex: 0 0 41% !important; width: 41%; max-width: 41%}
  [data-testid="stLayoutWrapper"]:has(> [data-testid="stVerticalBlock"] > * > .st-key-paper-right) {
    flex: 0 0 calc(59% - 0.6rem) !important; width: calc(59% - 0.6rem); max-width: calc(59% - 0.6rem)
  }
  .stVegaLiteChart, .stVegaLiteChart * {max-width: 100% !important}
  .stVegaLiteChart :is(canvas, svg) {width: 100% !important; height: auto !important; overflow: visible}
  /* The page says what a chart shows. */
  .stVegaLiteChart .role-title {display: none}
  /* The drawing is scaled down to its column. */
  .stVegaLiteChart .role-axis-label text {font-size: 17px !important}
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


def current_health() -> tuple[list[Problem], tuple[StreamState, ...]]:
    """Return the pipeline's problems and streams, for a page that shows only its output. Empty without a report."""
    dataset = open_report()
    version = dataset.version()
    if version is None:
        return [], ()
    try:
        report = cached_report(dataset, version)
        return find_problems(health(report, utc_now())), report.streams
    except WarehouseError:
        return [], ()


def draw(place: Any, chart: Spec) -> None:
    """Draw a chart over the whole width."""
    place.vega_lite_chart(named_data(chart), width="stretch")


def draw_bars(chart: Spec, name: str, selection: str, on_pick: Callable[[str], None]) -> None:
    """Draw a chart whose bars can be clicked. Streamlit 1.51 allows this for charts of one layer.

    Args:
        name: unique on the page.
        selection: the chart's selection, of the field `segment`.
        on_pick: called with the segment of a bar that the user clicks; then the page is drawn again.
    """
    # Another chart after each click, in which nothing is chosen: the same bar can be clicked again.
    key = f"bars-{name}-{st.session_state.get(_CLICKS, 0)}"
    st.vega_lite_chart(
        named_data(chart), width="stretch", key=key, on_select=partial(_pick_bar, key, selection, on_pick)
    )


def _pick_bar(key: str, selection: str, on_pick: Callable[[str], None]) -> None:
    for chosen in st.session_state[key]["selection"][selection]:
        on_pick(chosen["segment"])
        st.session_state[_PICKED] = True
        st.session_state[_CLICKS] = st.session_state.get(_CLICKS, 0) + 1


def follow_pick() -> None:
    """Draw the whole page again, if a row or a bar was clicked. Call it where a fragment begins.

    A click draws its fragment alone again, and there perhaps another table.
    """
    if st.session_state.pop(_PICKED, False):
        st.rerun(scope="app")


def show_empty(why: str) -> None:
    """Show why there is nothing to show here, and what to do."""
    st.info(why, icon=":material/search_off:")


def show_error(error: WarehouseError) -> None:
    """Show that the published data cannot be read."""
    st.error(str(error), icon=":material/error:")


def table(
    frame: pd.DataFrame,
    name: str,
    *,
    exact: pd.DataFrame | None = None,
    columns: Mapping[str, Any],
    file: str | None = None,
    on_pick: Callable[[int], None] | None = None,
    save: bool = True,
) -> None:
    """Show a table and a button that downloads it as a CSV file.

    A table with missing values is HTML: Streamlit's shows them as "None".

    Args:
        name: unique on the page.
        exact: the file's content, where the table shows rounded numbers.
        columns: the display of columns, by name.
        file: the file's name; that of the table if None.
        on_pick: called with the number of a row that the user ticks; then the page is drawn again.
        save: show the button.
    """
    key = f"table-{name}"
    follow_pick()
    if on_pick is not None:
        # A table with other rows is another one, in which nothing is ticked.
        key = f"{key}-{zlib.crc32(repr(frame.iloc[:, 0].tolist()).encode())}"
        st.dataframe(
            frame,
            hide_index=True,
            width="stretch",
            column_config=columns,
            key=key,
            on_select=partial(_pick, key, on_pick),
            # By cell, Tab into the table would select its first cell.
            selection_mode="single-row",
        )
    elif frame.isna().to_numpy().any():
        shown, headers, numbers = formatted(frame, columns)
        st.html(text_table(shown, headers, name.replace("-", " "), numbers=numbers))
    else:
        st.dataframe(frame, hide_index=True, width="stretch", column_config=columns, key=key)
    if save:
        download(frame if exact is None else exact, name, file)


def _pick(key: str, on_pick: Callable[[int], None]) -> None:
    rows = st.session_state[key]["selection"]["rows"]
    if rows:
        on_pick(rows[0])
        st.session_state[_PICKED] = True


def texts(
    frame: pd.DataFrame,
    name: str,
    *,
    headers: Mapping[str, str],
    label: str,
    below: Sequence[str] = (),
    exact: pd.DataFrame | None = None,
    file: str | None = None,
) -> None:
    """Show a table of texts, none of which is cut, and a button that downloads it; see `text_table` and `table`."""
    st.html(text_table(frame, headers, label, below))
    download(frame if exact is None else exact, name, file)


@st.fragment
def folded(name: str, show: Callable[[], None]) -> None:
    """Show a switch that opens the data table of a chart. A fragment: opening it draws nothing else.

    A closed expander would cost as much as an open one: its rows and its file are made, sent and drawn at each change.

    Args:
        name: unique on the page, and the same for all tables of this chart: the table stays open when they change.
        show: draws the table.
    """
    follow_pick()
    if st.toggle("Data table", key=f"open-{name}"):
        show()


def download(frame: pd.DataFrame, name: str, file: str | None = None) -> None:
    """Show a button that downloads the frame as a CSV file."""
    st.download_button(
        "Download CSV",
        exports.to_csv(frame),
        file or exports.file_name(name),
        "text/csv",
        icon=":material/download:",
        type="tertiary",
        key=f"download-{name}",
        on_click="ignore",
    )
