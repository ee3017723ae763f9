"""The panel of the e-mail campaigns, from the opened e-mail to the order."""

from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from adventure.dashboard import format
from adventure.dashboard.layout import download, draw, show_empty, table, theme
from adventure.dashboard.sales import campaign_metrics, charts
from adventure.dashboard.sales.filters import show_days_up_to
from adventure.dashboard.sales.panel import LONG_NAME, PERCENT, Panel, number

_LABELS = {
    "opened": "Opened",
    "clicked": "Clicked",
    "into_cart": "Cart",
    "converted": "Ordered",
    "revenue": "Revenue",
}


def show(panel: Panel) -> None:
    """Draw the e-mail campaigns, from the opened e-mail to the order."""
    description = panel.description("campaign_events_by_day", "conversion_rate")
    st.subheader("Campaign conversion", anchor=False, help=description)
    rows = campaign_metrics.campaigns(panel.query, panel.scope)
    if rows.empty:
        _show_none(panel)
        return
    left, right = st.columns([2, 3], gap="medium")
    with left:
        _funnel(panel, rows)
    with right:
        _table(panel, rows, description)


def _show_none(panel: Panel) -> None:
    bounds = campaign_metrics.campaign_bounds(panel.query)
    if bounds is None:
        show_empty("The warehouse has no e-mail campaign events. They come with the history.")
        return
    show_empty(
        f"No e-mail campaign events in this period. The feeds cover {format.day(bounds[0])} to {format.day(bounds[1])}."
    )
    st.button("Show the last 90 days of campaigns", on_click=show_days_up_to, args=(bounds[1], 90))


def _funnel(panel: Panel, rows: pd.DataFrame) -> None:
    steps = campaign_metrics.funnel(rows)
    title, scope = "From opened e-mails to orders", replace(panel.scope, channels=(), zone="UTC")
    draw(st, panel.footed(charts.funnel_chart(steps, theme(), title), title, scope))
    st.caption(
        "Campaigns of the chosen countries, all channels." if panel.scope.channels else "Share of the previous step."
    )
    download(steps, "campaign-funnel", panel.file("campaign-funnel"))


def _table(panel: Panel, rows: pd.DataFrame, description: str) -> None:
    columns: dict[str, Any] = {
        "segment": st.column_config.TextColumn("Segment", width=LONG_NAME),
        "category": st.column_config.TextColumn("Category"),
        "strategy": st.column_config.TextColumn("Strategy"),
        "conversion_rate": st.column_config.NumberColumn("Rate", format=PERCENT, help=description),
    }
    for name, label in _LABELS.items():
        columns[name] = number(name, label, panel.description("campaign_events_by_day", name))
    rows = rows[["segment", "revenue", "conversion_rate", "strategy", "category", *list(_LABELS)[:-1]]]
    shown = rows.assign(revenue=rows["revenue"].astype(float).round(), conversion_rate=100 * rows["conversion_rate"])
    table(shown, "campaigns", exact=rows, columns=columns, file=panel.file("campaigns"))
