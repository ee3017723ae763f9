"""The panels of the Sales page, from top to bottom: one function per panel."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from adventure.dashboard import controls, exports, format
from adventure.dashboard.layout import download, draw, draw_bars, show_empty, table, theme
from adventure.dashboard.sales import charts, drill, metrics, notes
from adventure.dashboard.sales import to_date as spans
from adventure.dashboard.sales.filters import FILTERS, show_days_up_to
from adventure.dashboard.sales.scope import Grain, Scope, days_of, default_grain, possible_grains
from adventure.destinations.published import Query

CONTROLS = ("pace", "measure", "segment", "grain", "market", "top")
"""The names of the panels' controls, in the session and in the URL."""
_GRAINS = {"hour": "Hour", "day": "Day", "week": "Week", "month": "Month"}
_NOTES = 5
"""So many of the latest unusual days, and of the latest notes, are listed below the chart; the others are folded."""
_CHANGE = "%+.1f%%"
_NAME, _LONG_NAME = 120, 165
"""Widths of the first column in pixels. A phone then shows the figure beside it."""
_PERCENT = "%.1f%%"
"""Format of percentages. Streamlit's "percent" format shows a varying number of decimals."""


@dataclass(frozen=True)
class Panel:
    """The data that all panels share."""

    query: Query
    scope: Scope
    now: datetime
    """The current time in the scope's time zone."""
    descriptions: dict[tuple[str, str], str]
    earliest: date
    """The first day with sales."""

    @property
    def today(self) -> date:
        """Return the current day in the scope's time zone."""
        return self.now.date()

    def compared(self) -> tuple[Scope, Scope] | None:
        """Return the days that every change compares; None if there is nothing to compare with."""
        return self.scope.compared(self.today, self.earliest)

    def file(self, name: str) -> str:
        """Return the name of a CSV file, with the days and the filters."""
        filters = (*self.scope.countries, *self.scope.channels)
        return exports.file_name(name, self.scope.first, self.scope.last, filters)

    def description(self, mart: str, name: str) -> str:
        """Return dbt's description of a mart's column or metric, used as help text."""
        return self.descriptions.get((mart, name), "")


def headlines(panel: Panel, current: metrics.Total) -> None:
    """Draw the headline metrics, each with its change and sparkline."""
    scope, today = panel.scope, panel.today
    line = metrics.sparkline(panel.query, scope, today)
    cards: list[tuple[str, str, str, str, Callable[[metrics.Total], Decimal | int]]] = [
        ("Revenue", format.money(current.revenue), "sales_by_hour", "revenue", lambda t: t.revenue),
        ("Orders", format.count(current.orders), "sales_by_hour", "orders", lambda t: t.orders),
        ("Average order", _average(current), "sales_by_hour", "average_order", lambda t: t.average_order),
        ("Units", format.count(current.units), "sales_by_hour", "units", lambda t: t.units),
        ("Customers", format.count(current.customers), "customers_by_day", "customers", lambda t: t.customers),
    ]
    row = st.container(key="headlines")
    for column, (label, value, mart, name, metric) in zip(row.columns(len(cards), gap="small"), cards, strict=True):
        change = metrics.metric_change(panel.query, scope, today, metric, panel.earliest)
        compared = (
            panel.description("sales_by_hour", "change") if change is not None else "There is nothing to compare with."
        )
        column.metric(
            label,
            value,
            format.percent(change),
            help=f"{panel.description(mart, name)} {compared}",
            border=True,
            chart_data=[float(point) for point in line[name]] if (line[name] != 0).sum() > 1 else None,
            chart_type="area",
        )
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(_compared(scope, panel), width="content")
        drill.button()
        period = f"Period ({scope.zone})"
        download(line.rename_axis(period).reset_index(), "headlines-over-time", panel.file("headlines-over-time"))


def _average(total: metrics.Total) -> str:
    return f"${total.average_order:,.0f}"


def _compared(scope: Scope, panel: Panel) -> str:
    """Return which days the cards show, and which days their changes compare."""
    shown = f"{format.day(scope.first)} – {format.day(scope.last)}"
    if scope.compared(panel.today) is None:
        return f"{shown}. Today is not over, so there is no full day to compare."
    compared = panel.compared()
    if compared is None or not metrics.total(panel.query, compared[1]).orders:
        days = "the day before" if scope.days == 1 else f"the {scope.days:,} days before"
        return f"{shown}. There are no sales to compare with on all of {days}."
    now, before = compared
    today_out = "; today is not over, so both periods leave it out" if now.last != scope.last else ""
    return f"{shown}, compared with {format.day(before.first)} – {format.day(before.last)}{today_out}."


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
    amounts = [measure, "before", "last_year"]
    shown = rows.astype(dict.fromkeys(amounts, float))
    shown[amounts] = shown[amounts].round()
    for name in ("change", "change_last_year"):
        shown[name] = 100 * shown[name]
    change = st.column_config.NumberColumn
    columns: dict[str, Any] = {
        "period": st.column_config.TextColumn("Period", width=_NAME),
        measure: _number(measure, metrics.MEASURES[measure], panel.description("sales_by_hour", measure)),
        "change": change("Change", format=_CHANGE, help="Against the same hours of the week, month or quarter before."),
        "before": _number(measure, "Before"),
        "change_last_year": change("In a year", format=_CHANGE, help="Against the same span of last year."),
        "last_year": _number(measure, "Last year"),
    }
    if measure == "revenue" and not panel.scope.countries and not panel.scope.channels:
        found = notes.targets(panel.query, panel.today)
        rows["target"] = pd.Series([found.get(period) for period in rows["period"]], dtype=object)
        progress = [
            float(value / goal) if goal else None for value, goal in zip(rows[measure], rows["target"], strict=True)
        ]
        rows["progress"] = pd.Series(progress, dtype=float)
        shown["target"], shown["progress"] = rows["target"].astype(float), 100 * rows["progress"]
        columns |= {"target": _number(measure, "Target"), "progress": _share("Of target")}
    order = ["period", measure, "change", "target", "progress", "before", "change_last_year", "last_year"]
    order = [name for name in order if name in rows]
    order = [name for name in order if rows[name].notna().any()]
    day = format.day(panel.today)
    title = f"{measure}-to-date"
    table(shown[order], title, exact=rows[order], columns=columns, file=exports.file_name(title, panel.today))
    ends = spans.forecast(panel.query, panel.scope, measure, end, panel.today)
    text = format.money(ends) if ends is not None and measure == "revenue" else ends and f"{ends:,.0f}"
    until = format.moment(end, format.markdown(panel.scope.zone))
    st.caption(
        f"Complete hours until {until}, for the chosen countries and channels, whatever the period."
        + (f" If {day} goes on like the last four {panel.today:%A}s, it ends at about {text}." if text else "")
    )


def sales_over_time(panel: Panel) -> tuple[metrics.Measure, metrics.Segment]:
    """Draw sales over time, one line per segment. Return the chosen measure and segment."""
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    measure: Any = controls.choice(row, "Measure", "measure", metrics.MEASURES)
    labels = {key: dimension.label for key, dimension in metrics.SEGMENTS.items()}
    segment: Any = controls.choice(row, "Split by", "segment", labels)
    grain = _grain(row, panel.scope)
    controls.explain("measure", "segment", "grain")
    rows = metrics.series(panel.query, panel.scope, segment, measure, grain, panel.now)
    dimension = metrics.SEGMENTS[segment]
    name = f"{metrics.MEASURES[measure]} by {grain} and {dimension.label.lower()}"
    st.subheader(name, anchor=False, help=panel.description(dimension.mart, measure))
    if rows.empty:
        show_empty("The orders in this period have no lines yet. A later window will bring them.")
        return measure, segment
    unusual, annotations = notes.unusual_days(panel.query, panel.scope), notes.annotations(panel.query, panel.scope)
    marks = charts.Marks([*map(notes.sentence, unusual)], [day.day for day in unusual], annotations)
    draw(st, charts.sales_chart(rows, measure, grain, panel.now, theme(), name, marks, panel.scope.zone))
    st.caption(
        "Click a name to show it alone, Shift-click to add another. Hover over the chart to see all values of a period."
    )
    list_marks(marks)
    with st.expander("Data table"):
        _series_table(panel, metrics.table(rows), measure, grain, f"{measure}-by-{segment}-and-{grain}")
    return measure, segment


def list_marks(marks: charts.Marks) -> None:
    """List every day that the chart marks: the latest of each kind, and the earlier ones folded."""
    unusual = [f"▼ {text}" for text in marks.unusual]
    annotations = [f"● {format.day(day)}: {text}" for day, text in marks.annotations]
    latest = unusual[-_NOTES:] + annotations[-_NOTES:]
    if latest:
        st.caption("  \n".join(map(format.markdown, latest)))
    earlier = unusual[:-_NOTES] + annotations[:-_NOTES]
    if earlier:
        with st.expander(f"And {len(earlier):,} earlier"):
            st.caption("  \n".join(map(format.markdown, earlier)))


def _grain(row: Any, scope: Scope) -> Grain:
    """Show the choice of grain and return it. "Auto" picks the grain that suits the period."""
    options = {"auto": "Auto"} | {grain: _GRAINS[grain] for grain in possible_grains(scope.days)}
    grain: Any = controls.choice(row, "Grain", "grain", options)
    return default_grain(scope.days) if grain == "auto" else grain


def _series_table(panel: Panel, wide: pd.DataFrame, measure: str, grain: Grain, name: str) -> None:
    exact = wide.reset_index()
    exact["period"] = exact["period"].dt.strftime("%Y-%m-%d %H:%M" if grain == "hour" else "%Y-%m-%d")
    shown = exact.set_index("period").astype(float).round().reset_index()
    columns = {column: _number(measure) for column in wide.columns}
    period = f"Period ({panel.scope.zone})"
    columns["period"] = st.column_config.TextColumn(period, width="small")
    starts = list(wide.index)

    def pick(row: int) -> None:
        first, last = days_of(starts[row].date(), grain)
        drill.open_orders(days=(max(first, panel.scope.first), min(last, panel.scope.last)))

    exact = exact.rename(columns={"period": period})
    table(shown, name, exact=exact, columns=columns, file=panel.file(name), on_pick=pick)
    st.caption("Tick a row to see the orders of its days.")


def contributions(panel: Panel, measure: metrics.Measure, segment: metrics.Segment) -> None:
    """Draw which segments drive the change against the days before."""
    description = panel.description("sales_by_hour", "contribution")
    st.subheader(f"What drives the change in {metrics.MEASURES[measure].lower()}", anchor=False, help=description)
    rows = metrics.contributions(panel.query, panel.scope, segment, measure, panel.today, panel.earliest)
    if rows.empty or not rows["before"].any():
        show_empty("There is nothing before this period to compare with. Choose a shorter or later period.")
        return
    title = f"Change in {measure} by {metrics.SEGMENTS[segment].label.lower()}"
    name = f"change-of-{measure}-by-{segment}"
    pick = partial(drill.pick_segment, segment)
    draw_bars(charts.contribution_chart(rows, measure, theme(), title), name, charts.BAR, pick)
    if segment in FILTERS:
        st.caption(f"Click a bar to see its {segment} alone. With the keyboard, choose it in the filters.")
    else:
        st.caption("Click a bar to see its orders. With the keyboard, choose it among the filters of the Orders page.")
    download(rows, name, panel.file(name))


@st.fragment
def markets(panel: Panel) -> None:
    """Draw the table of countries by channels, with each country's share."""
    row = st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute")
    row.subheader("Countries and channels", anchor=False, width="content")
    measure: Any = controls.choice(row, "Measure", "market", metrics.MEASURES, hidden=True)
    controls.explain("market")
    wide = metrics.country_by_channel(panel.query, panel.scope, measure).reset_index(names="country")
    wide = wide.rename(columns={"Total": "total", "Share": "share"})
    channels = [name for name in wide.columns if name not in ("country", "total", "share")]
    wide = wide[["country", "total", "share", *channels]]
    amounts = [*channels, "total"]
    shown = wide.astype(dict.fromkeys(amounts, float)).assign(share=100 * wide["share"])
    shown[amounts] = shown[amounts].round()
    description = panel.description("sales_by_hour", measure)
    columns: dict[str, Any] = {name: _number(measure, name.capitalize(), description) for name in channels}
    columns["country"] = st.column_config.TextColumn("Country", width=_NAME)
    columns["total"] = _number(measure, "Total", description)
    columns["share"] = _share("Share")
    name = f"{measure}-by-country-and-channel"
    countries = list(wide["country"])

    def pick(row: int) -> None:
        controls.pick("country", [countries[row]])

    table(shown, name, exact=wide, columns=columns, file=panel.file(name), on_pick=pick)
    st.caption("Tick a country to see it alone.")


@st.fragment
def products(panel: Panel) -> None:
    """Draw the table of best-selling products."""
    row = st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute")
    row.subheader("Top products", anchor=False, width="content")
    measure: Any = controls.choice(row, "Ranked by", "top", metrics.MEASURES, hidden=True)
    controls.explain("top")
    rows = metrics.top_products(panel.query, panel.scope, measure)
    others = [name for name in metrics.MEASURES if name != measure]
    rows = rows[["product", measure, "share", *others, "category"]]
    shown = rows.assign(revenue=rows["revenue"].astype(float).round(), share=100 * rows["share"].fillna(0))
    columns: dict[str, Any] = {
        "product": st.column_config.TextColumn("Product", width=_LONG_NAME),
        "category": st.column_config.TextColumn("Category"),
        "share": _share("Share"),
    }
    for name, label in metrics.MEASURES.items():
        columns[name] = _number(name, label, panel.description("product_sales_by_day", name))
    title = f"top-products-by-{measure}"
    names = list(rows["product"])

    def pick(row: int) -> None:
        drill.open_orders({"product": names[row]})

    table(shown, title, exact=rows, columns=columns, file=panel.file(title), on_pick=pick)
    st.caption("Tick a product to see its orders.")


def support(panel: Panel) -> None:
    """Draw support chats and the orders of the same period."""
    st.subheader("Support chats and sales", anchor=False)
    chats = metrics.chats(panel.query, panel.scope)
    if not chats.chats:
        show_empty("No support chat began in this period. The history has no chats: choose a period with live sales.")
        return
    grain = default_grain(panel.scope.days)
    grain = "day" if grain == "hour" else grain
    rows = metrics.chats_and_orders(panel.query, panel.scope, grain, panel.now)
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
    chart = charts.chats_chart(drawn, grain, panel.now, theme(), "Orders and new chats")
    draw(right, chart)
    if charts.is_running(drawn["period"].max(), grain, panel.now):
        right.caption(f"The dashed bar is {charts.RUNNING[grain]}.")
    with st.expander("Data table"):
        exact = rows.assign(period=rows["period"].dt.strftime("%Y-%m-%d"))
        name = "chats-beside-orders"
        table(exact.iloc[::-1], name, columns=_chat_columns(panel), file=panel.file(name))


def _chat_changes(panel: Panel) -> tuple[str | None, str | None]:
    """Return the changes of satisfaction and hours to resolution, between the days that the headlines compare."""
    compared = panel.compared()
    if compared is None:
        return None, None
    now, before = (metrics.chats(panel.query, scope) for scope in compared)
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
    orders = _number("orders", "Orders", panel.description("sales_by_hour", "orders"))
    return columns | {"period": st.column_config.TextColumn("Period (UTC)"), "orders": orders}


def campaigns(panel: Panel) -> None:
    """Draw the e-mail campaigns, from the opened e-mail to the order."""
    description = panel.description("campaign_events_by_day", "conversion_rate")
    st.subheader("Campaign conversion", anchor=False, help=description)
    rows = metrics.campaigns(panel.query, panel.scope)
    if rows.empty:
        bounds = metrics.campaign_bounds(panel.query)
        if bounds is None:
            show_empty("The warehouse has no e-mail campaign events. They come with the history.")
            return
        show_empty(
            "No e-mail campaign events in this period. The feeds cover"
            f" {format.day(bounds[0])} to {format.day(bounds[1])}."
        )
        st.button("Show the last 90 days of campaigns", on_click=show_days_up_to, args=(bounds[1], 90))
        return
    left, right = st.columns([2, 3], gap="medium")
    steps = metrics.funnel(rows)
    with left:
        draw(st, charts.funnel_chart(steps, theme(), "From opened e-mails to orders"))
        st.caption(
            "Campaigns of the chosen countries, all channels."
            if panel.scope.channels
            else "Share of the previous step."
        )
        download(steps, "campaign-funnel", panel.file("campaign-funnel"))
    columns: dict[str, Any] = {
        "segment": st.column_config.TextColumn("Segment", width=_LONG_NAME),
        "category": st.column_config.TextColumn("Category"),
        "strategy": st.column_config.TextColumn("Strategy"),
        "conversion_rate": st.column_config.NumberColumn("Rate", format=_PERCENT, help=description),
    }
    labels = {
        "opened": "Opened",
        "clicked": "Clicked",
        "into_cart": "Cart",
        "converted": "Ordered",
        "revenue": "Revenue",
    }
    for name, label in labels.items():
        columns[name] = _number(name, label, panel.description("campaign_events_by_day", name))
    with right:
        rows = rows[["segment", "revenue", "conversion_rate", "strategy", "category", *list(labels)[:-1]]]
        shown = rows.assign(
            revenue=rows["revenue"].astype(float).round(), conversion_rate=100 * rows["conversion_rate"]
        )
        table(shown, "campaigns", exact=rows, columns=columns, file=panel.file("campaigns"))


def _difference(now: float | None, before: float | None, digits: int) -> str | None:
    """Return the signed difference from the days before."""
    return None if now is None or before is None else f"{now - before:+.{digits}f}"


def _number(measure: str, label: str | None = None, text: str | None = None) -> Any:
    # A step of 1 means whole numbers, and cuts the cents off: round before. The files have them.
    form: Any = "dollar" if measure == "revenue" else "localized"
    return st.column_config.NumberColumn(label, format=form, step=1, help=text)


def _share(label: str) -> Any:
    """Return a column of bars from 0 to 100 %."""
    return st.column_config.ProgressColumn(label, format=_PERCENT, min_value=0, max_value=100, width=130)
