"""The Sales page: how sales develop, and which segments drive them."""

from dataclasses import replace
from datetime import timedelta

import streamlit as st

from adventure.core.ages import long_age
from adventure.core.clock import utc_now
from adventure.core.errors import WarehouseError
from adventure.dashboard import controls, data, format, late
from adventure.dashboard.layout import REFRESH_SEC, current_health, follow_pick, rerun_on_publish, show_error
from adventure.dashboard.sales import (
    campaigns,
    drill,
    headlines,
    metrics,
    orders_page,
    rankings,
    reviews,
    support,
    trend,
    views,
    zones,
)
from adventure.dashboard.sales.filters import FILTERS, ZONE, choose_scope, show_no_sales
from adventure.dashboard.sales.notice import notice
from adventure.dashboard.sales.panel import CONTROLS, Panel
from adventure.dashboard.sales.scope import Scope
from adventure.destinations.published import PublishedDataset, Query, Version
from adventure.factory import open_report, open_sales


def show() -> None:
    """Draw the page."""
    drill.follow(orders_page.page())
    dataset = open_sales()
    version = dataset.version()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.title("Sales", anchor=False, width="content")
        asked = version is not None and views.button()
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
        if asked:
            views.dialog(data.cached_query(dataset, version), "sales", knows_address=not dataset.is_metered)
    except WarehouseError as error:
        show_error(error)
        _watch(dataset, version, None)


def _show(dataset: PublishedDataset, version: Version) -> None:
    query, now = data.cached_query(dataset, version), utc_now()
    _watch(dataset, version, metrics.publication(query))
    controls.explain_names((*FILTERS, ZONE, *CONTROLS, "from", "to", views.NAME))
    scope = choose_scope(query, now)
    if scope is None:
        st.info(
            "The models contain no sales, neither live nor historical. `adventure status` shows how far each stream"
            " is.",
            icon=":material/hourglass_empty:",
        )
        return
    scope = _kept_by_hours(query, scope)
    bounds = metrics.bounds(query, scope.zone) or (scope.first, scope.last)
    current = metrics.total(query, scope)
    if not current.orders:
        show_no_sales(scope, bounds)
        return
    panel = Panel(query, scope, zones.to_local(now, scope.zone), metrics.descriptions(query), bounds[0])
    by_utc_days = replace(panel, scope=scope.in_utc(), now=now)
    headlines.cards(panel, current)
    read_until = metrics.publication(query).data_as_of
    with st.container(border=True, key="paper-left"):
        headlines.to_date(panel, read_until and zones.to_local(read_until, scope.zone))
    _trend(panel)
    with st.container(border=True, key="screen-products"):
        rankings.products(by_utc_days)
        _say_utc(scope)
    with st.container(border=True, key="screen-support"):
        support.show(by_utc_days)
        _say_utc(scope)
    with st.container(border=True, key="screen-campaigns"):
        campaigns.show(by_utc_days)
        _say_utc(scope)
    reviews.show(by_utc_days)


def _kept_by_hours(query: Query, scope: Scope) -> Scope:
    """Return the scope with days that hours add up to, and say what differs from the chosen time zone."""
    if scope.zone == "UTC":
        return scope
    name = format.markdown(scope.zone)
    if not zones.has_whole_hours(scope.zone, scope.first, scope.last):
        st.info(
            f"Sales are kept by hours of UTC, and days in {name} begin within one. This page shows days in UTC; the"
            f" Orders page has those of {name}.",
            icon=":material/schedule:",
        )
        return scope.in_utc()
    kept = (
        f"Revenue, orders and units are those of days in {name}. Customers, products, chats, campaigns, reviews and"
        " unusual days are kept by days in UTC."
    )
    until = metrics.dates_only_until(query)
    if until and scope.first <= until:
        kept += f" Sales before {format.day(until)} have no time of day: they count at midnight UTC."
    st.info(kept, icon=":material/schedule:")
    return scope


def _say_utc(scope: Scope) -> None:
    if scope.zone != "UTC":
        st.caption("Days in UTC.")


@st.fragment
def _trend(panel: Panel) -> None:
    """Draw the panels that depend on measure and segment. A fragment: changing these reruns no other panel."""
    follow_pick()
    with st.container(border=True, key="paper-right"):
        measure, segment = trend.sales_over_time(panel)
    left, right = st.container(key="screen-pair").columns(2, gap="small")
    with left.container(border=True, height="stretch"):
        trend.contributions(panel, measure, segment)
    with right.container(border=True, height="stretch"):
        rankings.markets(panel)


@st.fragment(run_every=REFRESH_SEC)
def _watch(dataset: PublishedDataset, version: Version | None, publication: metrics.Publication | None) -> None:
    """Show the age of the data and any error of the pipeline. Rerun the page when newer data is published."""
    late.note_refresh()
    rerun_on_publish((dataset, version))
    if publication is None:
        return
    now, as_of = utc_now(), publication.data_as_of
    read = f"Data as of **{format.moment(as_of)}**, {long_age(now - as_of)} old" if as_of else "No live sales yet"
    st.caption(f"{read} · days are calendar days in UTC unless you choose another zone · money in US dollars")
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
