"""The cards of the Sales page, and the table of today and to date."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import streamlit as st

from adventure.dashboard import controls, format
from adventure.dashboard.colours import colours
from adventure.dashboard.layout import download, show_empty, table, theme
from adventure.dashboard.sales import drill, metrics, notes, over_time
from adventure.dashboard.sales import to_date as spans
from adventure.dashboard.sales.panel import NAME, Panel, number, share
from adventure.dashboard.sparkline import sparkline

_CHANGE = "%+.1f%%"


def cards(panel: Panel, current: metrics.Total) -> None:
    """Draw the headline metrics, each with its change and sparkline."""
    scope, today = panel.scope, panel.today
    line = over_time.sparkline(panel.query, scope, today)
    totals = metrics.compared_totals(panel.query, scope, today, panel.earliest)
    cards: list[tuple[str, str, str, str, Callable[[metrics.Total], Decimal | int]]] = [
        ("Revenue", format.money(current.revenue), "sales_by_hour", "revenue", lambda t: t.revenue),
        ("Orders", format.count(current.orders), "sales_by_hour", "orders", lambda t: t.orders),
        ("Average order", _average(current), "sales_by_hour", "average_order", lambda t: t.average_order),
        ("Units", format.count(current.units), "sales_by_hour", "units", lambda t: t.units),
        ("Customers", format.count(current.customers), "customers_by_day", "customers", lambda t: t.customers),
    ]
    row = st.container(key="headlines")
    places = row.columns(len(cards), gap="small", border=True)
    [colour] = colours(["orders"], theme())
    for column, (label, value, mart, name, metric) in zip(places, cards, strict=True):
        change = metrics.metric_change(totals, metric)
        compared = (
            panel.description("sales_by_hour", "change") if change is not None else "There is nothing to compare with."
        )
        column.metric(label, value, format.percent(change), help=f"{panel.description(mart, name)} {compared}")
        if (line[name] != 0).sum() > 1:
            column.html(sparkline([float(point) for point in line[name]], f"{label} over time", colour))
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(_compared(panel, totals), width="content")
        drill.button()
        period = f"Period ({scope.zone})"
        download(line.rename_axis(period).reset_index(), "headlines-over-time", panel.file("headlines-over-time"))


def _average(total: metrics.Total) -> str:
    return f"${total.average_order:,.0f}"


def _compared(panel: Panel, totals: tuple[metrics.Total, metrics.Total] | None) -> str:
    """Return which days the cards show, and which days their changes compare."""
    scope = panel.scope
    shown = format.days(scope.first, scope.last)
    if scope.compared(panel.today) is None:
        return f"{shown}. Today is not over, so there is no full day to compare."
    compared = panel.compared()
    if compared is None or totals is None or not totals[1].orders:
        days = "the day before" if scope.days == 1 else f"the {scope.days:,} days before"
        return f"{shown}. There are no sales to compare with on all of {days}."
    now, before = compared
    today_out = "; today is not over, so both periods leave it out" if now.last != scope.last else ""
    return f"{shown}, compared with {format.days(before.first, before.last)}{today_out}."


@st.fragment
def to_date(panel: Panel, read_until: datetime | None) -> None:
    """Draw today, yesterday, and week, month, quarter and year to date, beside the same span earlier.

    Args:
        read_until: up to when sales were read, in the scope's time zone.
    """
    row = st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute")
    row.subheader("Today and to date", anchor=False, width="content")
    measure: Any = controls.choice(row, "Measure", "pace", metrics.MEASURES, hidden=True)
    controls.explain("pace")
    end = min(panel.now, read_until or panel.now).replace(minute=0, second=0, microsecond=0)
    rows = spans.to_date(panel.query, panel.scope, measure, end, panel.today, panel.earliest)
    if rows.empty:
        show_empty(f"No sales were read after {format.moment(end, format.markdown(panel.scope.zone))}.")
        return
    shown, columns = _to_date_columns(panel, rows, measure)
    order = ["period", measure, "change", "target", "progress", "before", "change_last_year", "last_year"]
    order = [name for name in order if name in rows and rows[name].notna().any()]
    title = f"{measure}-to-date"
    amounts = [name for name in ("before", "target", "last_year") if name in order]
    exact = panel.exact(rows[order], measure, amounts).rename(columns={"period": f"Period ({panel.scope.zone})"})
    table(shown[order], title, exact=exact, columns=columns, file=panel.file_of_today(title))
    st.caption(_until(panel, measure, end))


def _to_date_columns(panel: Panel, rows: pd.DataFrame, measure: metrics.Measure) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the rows with rounded amounts and with percentages, and their columns. Add the targets to the rows."""
    amounts = [measure, "before", "last_year"]
    shown = rows.astype(dict.fromkeys(amounts, float))
    shown[amounts] = shown[amounts].round()
    for name in ("change", "change_last_year"):
        # Adding zero turns -0.0, a change that is too small to show, into 0.0.
        shown[name] = (100 * shown[name]).round(1) + 0.0
    change = st.column_config.NumberColumn
    columns: dict[str, Any] = {
        "period": st.column_config.TextColumn("Period", width=NAME),
        measure: number(measure, metrics.MEASURES[measure], panel.description("sales_by_hour", measure)),
        "change": change("Change", format=_CHANGE, help="Against the same hours of the week, month or quarter before."),
        "before": number(measure, "Before"),
        "change_last_year": change("In a year", format=_CHANGE, help="Against the same span of last year."),
        "last_year": number(measure, "Last year"),
    }
    if measure == "revenue" and not panel.scope.countries and not panel.scope.channels:
        found = notes.targets(panel.query, panel.today)
        rows["target"] = pd.Series([found.get(period) for period in rows["period"]], dtype=object)
        progress = [
            float(value / goal) if goal else None for value, goal in zip(rows[measure], rows["target"], strict=True)
        ]
        rows["progress"] = pd.Series(progress, dtype=float)
        shown["target"], shown["progress"] = rows["target"].astype(float), 100 * rows["progress"]
        columns |= {"target": number(measure, "Target"), "progress": share("Of target")}
    return shown, columns


def _until(panel: Panel, measure: metrics.Measure, end: datetime) -> str:
    """Return up to when the figures are, and what the day ends at if it goes on like those before."""
    ends = spans.forecast(panel.query, panel.scope, measure, end, panel.today)
    text = format.money(ends) if ends is not None and measure == "revenue" else ends and f"{ends:,.0f}"
    until = format.moment(end, format.markdown(panel.scope.zone))
    return f"Complete hours until {until}, for the chosen countries and channels, whatever the period." + (
        f" If {format.day(panel.today)} goes on like the last four {panel.today:%A}s, it ends at about {text}."
        if text
        else ""
    )
