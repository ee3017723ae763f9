"""The Sales page: how sales trend, and which segments drive them."""

from datetime import timedelta

import streamlit as st

from adventure.core.ages import long_age
from adventure.core.clock import utc_now
from adventure.core.errors import WarehouseError
from adventure.dashboard import data, format
from adventure.dashboard.layout import LOOK_EVERY_SEC, current_problems, damaged, watch
from adventure.dashboard.sales import figures, panels
from adventure.dashboard.sales.filters import choose_scope, nothing_found
from adventure.destinations.published import PublishedDataset, Version
from adventure.factory import open_report, open_sales


def show() -> None:
    """The page."""
    copy = open_sales()
    version = copy.version()
    st.title("Sales", anchor=False)
    if version is None:
        _watch(copy, None, None)
        st.info(
            "Nothing has been published yet. `adventure tasks run` loads what is staged, builds the models and"
            " publishes; `make demo` does all of it with sales of its own.",
            icon=":material/hourglass_empty:",
        )
        return
    try:
        _show(copy, version)
    except WarehouseError as error:
        damaged(error)
        _watch(copy, version, None)


def _show(copy: PublishedDataset, version: Version) -> None:
    query, now = data.cached(copy, version), utc_now()
    _watch(copy, version, figures.publication(query))
    bounds = figures.bounds(query)
    if bounds is None:
        st.info(
            "The models hold no sales, neither live ones nor a history. `adventure status` tells how far each stream"
            " is; `adventure history create` makes a history.",
            icon=":material/hourglass_empty:",
        )
        return
    scope = choose_scope(query, bounds, now.date())
    current = figures.total(query, scope)
    if not current.orders:
        nothing_found(scope, bounds)
        return
    panel = panels.Panel(query, scope, now, figures.descriptions(query))
    panels.headlines(panel, current)
    _trend(panel)
    with st.container(border=True):
        panels.products(panel)
    with st.container(border=True):
        panels.support(panel, current)
    with st.container(border=True):
        panels.campaigns(panel)


@st.fragment
def _trend(panel: panels.Panel) -> None:
    """What the measure and the segment are chosen for. A fragment: the other panels stay as they are."""
    with st.container(border=True):
        measure, segment = panels.explore(panel)
    left, right = st.columns(2, gap="small")
    with left.container(border=True, height="stretch"):
        panels.contributions(panel, measure, segment)
    with right.container(border=True, height="stretch"):
        panels.markets(panel)


@st.fragment(run_every=LOOK_EVERY_SEC)
def _watch(copy: PublishedDataset, version: Version | None, publication: figures.Publication | None) -> None:
    """Draws the page anew when there is a newer publication; until then, says how old this one has become."""
    watch((copy, version))
    if publication is None:
        return
    now, as_of = utc_now(), publication.data_as_of
    read = f"Data as of **{format.moment(as_of)}**, {long_age(now - as_of)} old" if as_of else "No live sales yet"
    st.caption(f"{read} · days are calendar days in UTC · money in US dollars")
    wrong = [problem for problem in current_problems() if problem.severity == "wrong"]
    if wrong:
        st.warning(
            f"The figures may be older than they should be. {format.markdown(wrong[0].what)}."
            f" {wrong[0].do}. The Pipeline page shows more.",
            icon=":material/warning:",
        )
    elif open_report().version() is None:
        age = (now - publication.built_at).total_seconds()
        if age > 2 * data.tasks_interval_sec():
            st.warning(
                f"The figures were built {long_age(timedelta(seconds=age))} ago, longer than expected:"
                " see `adventure status`.",
                icon=":material/warning:",
            )
