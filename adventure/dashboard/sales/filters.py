"""The filters of the Sales and Orders pages, and the message when no sales match. All filters are in the URL."""

from datetime import date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import available_timezones

import streamlit as st

from adventure.dashboard import controls, format
from adventure.dashboard.sales import metrics, zones
from adventure.dashboard.sales.scope import Scope
from adventure.destinations.published import Query

_PERIODS = {
    "3d": ("3 days", 3),
    "7d": ("7 days", 7),
    "30d": ("30 days", 30),
    "90d": ("90 days", 90),
    "1y": ("Year", 365),
}
ZONE = "zone"
"""The name of the time zone, in the session and in the URL. It stays when the filters are cleared."""
_SAME_AS_UTC = ("Etc/UTC", "Etc/UCT", "UCT", "Universal", "Etc/Universal", "Zulu", "Etc/Zulu")
FILTERS = ("period", "days", "country", "channel")
"""The names of the filters, in the session and in the URL."""


def choose_scope(query: Query, now: datetime) -> Scope | None:
    """Show the filters and return the chosen scope; None without sales.

    Args:
        now: the current time in UTC.
    """
    if metrics.bounds(query) is None:
        return None
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    names = {key: name for key, (name, _) in _PERIODS.items()} | {"all": "All", "custom": "Custom"}
    usual = "custom" if controls.has_range() else "30d"
    period = controls.choice(row, "Period", "period", names, usual, overrides=("from", "to"))
    zone = _choose_zone(row)
    bounds, today = metrics.bounds(query, zone) or (now.date(), now.date()), zones.to_local(now, zone).date()
    first, last = today - timedelta(days=29), today
    if period == "custom":
        first, last = controls.date_range(row, "From and to", first, last, min(bounds[0], first), max(bounds[1], today))
    else:
        controls.ignore_range(names[period])
    if period == "all":
        first, last = bounds[0], max(bounds[1], today)
    elif period in _PERIODS:
        first = today - timedelta(days=_PERIODS[period][1] - 1)
    countries = controls.multi_choice(row, "Country", "country", metrics.options(query, "country"), "All countries")
    channels = controls.multi_choice(row, "Channel", "channel", metrics.options(query, "channel"), "All channels")
    with st.container():
        controls.explain(*FILTERS, ZONE)
    scope = Scope(first, last, countries, channels, zone)
    show_breadcrumbs(scope)
    return scope


def _choose_zone(row: Any) -> str:
    """Show the choice between UTC, the browser's time zone and that of the link; nothing where all are UTC."""
    asked = [*st.query_params.get_all(ZONE), st.context.timezone, st.session_state.get(ZONE)]
    known = _zones()
    options = {"UTC": "UTC"} | {zone: zone for zone in asked if zone in known and zone not in _SAME_AS_UTC}
    if len(options) == 1 and st.query_params.get(ZONE, "UTC") == "UTC":
        return "UTC"
    return controls.choice(row, "Days in", ZONE, options)


@cache
def _zones() -> set[str]:
    """Return the names of all time zones. Python reads them from the disk each time."""
    return available_timezones()


def show_breadcrumbs(scope: Scope) -> None:
    """Show the chosen countries and channels as a path. A click on a part removes what follows it."""
    # Streamlit tells elements by their place: without the row, all that follows would be drawn again.
    row = st.container(horizontal=True, vertical_alignment="center", gap="small", key="breadcrumbs")
    if not (scope.countries or scope.channels):
        return
    row.button("All sales", type="tertiary", on_click=controls.reset, args=("country", "channel"), key="crumb-all")
    if scope.countries:
        row.text("›", width="content")
        name = format.markdown(_listed(scope.countries))
        if scope.channels:
            row.button(name, type="tertiary", on_click=controls.reset, args=("channel",), key="crumb-country")
        else:
            row.markdown(f"**{name}**", width="content")
    if scope.channels:
        row.text("›", width="content")
        row.markdown(f"**{format.markdown(_listed(scope.channels))}**", width="content")


def _listed(names: tuple[str, ...]) -> str:
    text = ", ".join(names)
    return text if len(text) <= 60 else f"{text[:59]}…"


def show_no_sales(scope: Scope, bounds: tuple[date, date]) -> None:
    """Show why there are no sales, with buttons that change the filters."""
    filters = " and ".join(
        f"{name} {', '.join(format.markdown(value) for value in chosen)}"
        for name, chosen in (("country", scope.countries), ("channel", scope.channels))
        if chosen
    )
    st.info(
        f"There are no sales from {format.day(scope.first)} to {format.day(scope.last)}"
        f"{f' for {filters}' if filters else ''}. The warehouse has sales from {format.day(bounds[0])} to"
        f" {format.day(bounds[1])}. Choose another period or clear the filters. If you expected sales here, the"
        " Pipeline page shows how far each stream is.",
        icon=":material/search_off:",
    )
    row = st.container(horizontal=True)
    row.button("Clear filters", on_click=controls.reset, args=FILTERS)
    row.button(f"Show the 30 days up to {format.day(bounds[1])}", on_click=show_days_up_to, args=(bounds[1],))


def show_days_up_to(last: date, days: int = 30) -> None:
    """Set the filters to the days up to `last`. Made for a button's callback."""
    controls.reset(*FILTERS)
    st.session_state["period"] = "custom"
    st.session_state["days"] = (last - timedelta(days=days - 1), last)
