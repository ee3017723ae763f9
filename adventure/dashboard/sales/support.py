"""The panel of the support chats, beside the orders of the same period."""

from typing import Any

import pandas as pd
import streamlit as st

from adventure.dashboard import format
from adventure.dashboard.layout import draw, folded, show_empty, table, theme
from adventure.dashboard.sales import charts, metrics, support_metrics
from adventure.dashboard.sales.panel import Panel, number
from adventure.dashboard.sales.scope import grain_in_days


def show(panel: Panel) -> None:
    """Draw support chats and the orders of the same period."""
    st.subheader("Support chats and sales", anchor=False)
    chats = support_metrics.chats(panel.query, panel.scope)
    if not chats.chats:
        show_empty("No support chat began in this period. The history has no chats: choose a period with live sales.")
        return
    grain = grain_in_days(panel.scope.days)
    rows = support_metrics.chats_and_orders(panel.query, panel.scope, grain, panel.now)
    sold = metrics.total(panel.query, panel.scope).orders
    per_order = format.decimal(100 * chats.chats / sold if sold else None)
    rating, hours = _chat_changes(panel)
    cards = [
        ("Chats", format.count(chats.chats), None, "chats", "normal"),
        ("Chats per 100 orders", per_order, None, "chats_per_100_orders", "normal"),
        ("Satisfaction, 1 to 5", format.decimal(chats.satisfaction, 2), rating, "satisfaction", "normal"),
        ("Hours to resolution", format.decimal(chats.resolution_hours), hours, "resolution_hours", "inverse"),
    ]
    left, right = st.container(key="support").columns([2, 3], gap="medium")
    for place, card in zip([*left.columns(2), *left.columns(2)], cards, strict=True):
        label, value, delta, name, delta_color = card
        description = panel.description("support_chats_by_day", name)
        description += f" {panel.description('sales_by_hour', 'change')}" if delta else ""
        place.metric(label, value, delta, help=description, border=True, delta_color=delta_color)  # type: ignore[arg-type]
    # Start at the first chat: the years of history have orders, but no chats.
    drawn = rows[rows["chats"].cumsum() > 0]
    if drawn.empty:  # All chats are later than this machine's clock.
        return
    title = "Orders and new chats"
    draw(right, panel.footed(charts.chats_chart(drawn, grain, panel.now, theme(), title), title, panel.scope.in_utc()))
    if charts.is_running(drawn["period"].max(), grain, panel.now):
        right.caption(f"The dashed bar is {charts.RUNNING[grain]}.")
    folded("support", lambda: _table(panel, rows))


def _table(panel: Panel, rows: pd.DataFrame) -> None:
    exact = rows.assign(period=rows["period"].dt.strftime("%Y-%m-%d"))
    name = "chats-beside-orders"
    table(exact.iloc[::-1], name, columns=_chat_columns(panel), file=panel.file(name))


def _chat_changes(panel: Panel) -> tuple[str | None, str | None]:
    """Return the changes of satisfaction and hours to resolution, between the days that the headlines compare."""
    compared = panel.compared()
    if compared is None:
        return None, None
    now, before = (support_metrics.chats(panel.query, scope) for scope in compared)
    satisfaction = _difference(now.satisfaction, before.satisfaction, 2)
    return satisfaction, _difference(now.resolution_hours, before.resolution_hours, 1)


def _chat_columns(panel: Panel) -> dict[str, Any]:
    formats = {
        "chats": ("Chats", "localized"),
        "satisfaction": ("Satisfaction", "%.2f"),
        "resolution_hours": ("Hours to resolution", "%.1f"),
        "first_response_minutes": ("Minutes to first answer", "%.0f"),
    }
    columns: dict[str, Any] = {
        name: st.column_config.NumberColumn(label, format=form, help=panel.description("support_chats_by_day", name))
        for name, (label, form) in formats.items()
    }
    orders = number("orders", "Orders", panel.description("sales_by_hour", "orders"))
    return columns | {"period": st.column_config.TextColumn("Period (UTC)"), "orders": orders}


def _difference(now: float | None, before: float | None, digits: int) -> str | None:
    """Return the signed difference from the days before."""
    return None if now is None or before is None else f"{now - before:+.{digits}f}"
