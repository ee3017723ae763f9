"""The Sales page: how sales develop, and which segments drive them."""

from datetime import timedelta

import streamlit as st

from adventure.core.ages import long_age
from adventure.core.clock import utc_now
from adventure.core.errors import WarehouseError
from adventure.dashboard import controls, data, format
from adventure.dashboard.layout import REFRESH_SEC, current_health, rerun_on_publish, show_error
from adventure.dashboard.sales import drill, metrics, orders_page, panels, reviews
from adventure.dashboard.sales.filters import FILTERS, choose_scope, show_no_sales
from adventure.dashboard.sales.notice import notice
from adventure.destinations.published import PublishedDataset, Version
from adventure.factory import open_report, open_sales


def show() -> None:
    """Draw the page."""
    drill.follow(orders_page.page())
    dataset = open_sales()
    version = dataset.version()
    st.title("Sales", anchor=False)
    if version is None:
        _watch(dataset, None, None)
        st.info(
            "Nothing has been published yet. `adventure tasks run` loads the staged files, builds the models and"
            " publishes them; `make demo` does the same with generated sales.",
            icon=":material/hourglass_empty:",
        )
        return
    try:
        _show(dataset, version)
    except WarehouseError as error:
        show_error(error)
        _watch(dataset, version, None)


def _show(dataset: PublishedDataset, version: Version) -> None:
    query, now = data.cached_query(dataset, version), utc_now()
    _watch(dataset, version, metrics.publication(query))
    bounds = metrics.bounds(query)
    if bounds is None:
        st.info(
            "The models contain no sales, neither live nor historical. `adventure status` shows how far each stream"
            " is.",
            icon=":material/hourglass_empty:",
        )
        return
    controls.explain_names((*FILTERS, *panels.CONTROLS, "from", "to"))
    scope = choose_scope(query, bounds, now.date())
    current = metrics.total(query, scope)
    if not current.orders:
        show_no_sales(scope, bounds)
        return
    panel = panels.Panel(query, scope, now, metrics.descriptions(query), bounds[0])
    panels.headlines(panel, current)
    with st.container(border=True, key="paper-left"):
        panels.to_date(panel, metrics.publication(query).data_as_of)
    _trend(panel)
    with st.container(border=True, key="screen-products"):
        panels.products(panel)
    with st.container(border=True, key="screen-support"):
        panels.support(panel, current)
    with st.container(border=True, key="screen-campaigns"):
        panels.campaigns(panel)
    reviews.show(panel)


@st.fragment
def _trend(panel: panels.Panel) -> None:
    """Draw the panels that depend on measure and segment. A fragment: changing these reruns no other panel."""
    with st.container(border=True, key="paper-right"):
        measure, segment = panels.sales_over_time(panel)
    left, right = st.container(key="screen-pair").columns(2, gap="small")
    with left.container(border=True, height="stretch"):
        panels.contributions(panel, measure, segment)
    with right.container(border=True, height="stretch"):
        panels.markets(panel)


@st.fragment(run_every=REFRESH_SEC)
def _watch(dataset: PublishedDataset, version: Version | None, publication: metrics.Publication | None) -> None:
    """Show the age of the data and any error of the pipeline. Rerun the page when newer data is published."""
    rerun_on_publish((dataset, version))
    if publication is None:
        return
    now, as_of = utc_now(), publication.data_as_of
    read = f"Data as of **{format.moment(as_of)}**, {long_age(now - as_of)} old" if as_of else "No live sales yet"
    st.caption(f"{read} · days are calendar days in UTC · money in US dollars")
    problems, streams = current_health()
    if concerns := notice(problems, streams, now, as_of):
        st.warning(format.markdown(concerns), icon=":material/warning:")
    elif open_report().version() is None:
        age = (now - publication.built_at).total_seconds()
        if age > 2 * data.limits().tasks_interval_sec:
            st.warning(
                f"These figures were computed {long_age(timedelta(seconds=age))} ago, which is longer than expected."
                " Ask the data team.",
                icon=":material/warning:",
            )
