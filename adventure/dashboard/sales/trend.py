"""The panels of sales over time, and of what drives their change."""

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from adventure.dashboard import controls, format
from adventure.dashboard.layout import download, draw, draw_bars, folded, show_empty, table, theme
from adventure.dashboard.sales import charts, drill, metrics, notes, over_time
from adventure.dashboard.sales.filters import FILTERS
from adventure.dashboard.sales.panel import Panel, number
from adventure.dashboard.sales.scope import Grain, Scope, days_of, default_grain, possible_grains

_GRAINS = {"hour": "Hour", "day": "Day", "week": "Week", "month": "Month"}
_NOTES = 5
"""So many of the latest unusual days, and of the latest notes, are listed below the chart; the others are folded."""


def sales_over_time(panel: Panel) -> tuple[metrics.Measure, metrics.Segment]:
    """Draw sales over time, one line per segment. Return the chosen measure and segment."""
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    measure: Any = controls.choice(row, "Measure", "measure", metrics.MEASURES)
    labels = {key: dimension.label for key, dimension in metrics.SEGMENTS.items()}
    segment: Any = controls.choice(row, "Split by", "segment", labels)
    grain = _grain(row, panel.scope)
    controls.explain("measure", "segment", "grain")
    rows = over_time.series(panel.query, panel.scope, segment, measure, grain, panel.now)
    dimension = metrics.SEGMENTS[segment]
    name = f"{metrics.MEASURES[measure]} by {grain} and {dimension.label.lower()}"
    description = f"{metrics.MEASURES[measure]} over time by {dimension.label.lower()}"
    st.subheader(name, anchor=False, help=panel.description(dimension.mart, measure))
    if rows.empty:
        show_empty("The orders in this period have no lines yet. A later window will bring them.")
        return measure, segment
    unusual, annotations = notes.unusual_days(panel.query, panel.scope), notes.annotations(panel.query, panel.scope)
    marks = charts.Marks([*map(notes.sentence, unusual)], [day.day for day in unusual], annotations)
    chart = charts.sales_chart(rows, measure, grain, panel.now, theme(), description, marks, panel.scope.zone)
    draw(st, panel.footed(chart, name))
    with st.container(key="screen-hint"):
        st.caption(
            "Click a name to show it alone, Shift-click to add another."
            " Hover over the chart to see all values of a period."
        )
    list_marks(marks)
    file = f"{measure}-by-{segment}-and-{grain}"
    folded("over-time", lambda: _series_table(panel, over_time.table(rows), measure, grain, file))
    return measure, segment


def list_marks(marks: charts.Marks) -> None:
    """List every day that the chart marks: the latest of each kind, and the earlier ones folded."""
    unusual = [f"▼ {text}" for text in marks.unusual]
    annotations = [f"● {format.day(day)}: {text}" for day, text in marks.annotations]
    latest = unusual[-_NOTES:] + annotations[-_NOTES:]
    if latest:
        with st.container(key="marks"):
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
    columns = {column: number(measure) for column in wide.columns}
    period = f"Period ({panel.scope.zone})"
    columns["period"] = st.column_config.TextColumn(period, width="small")
    starts = list(wide.index)

    def pick(row: int) -> None:
        first, last = days_of(starts[row].date(), grain)
        drill.open_orders(days=(max(first, panel.scope.first), min(last, panel.scope.last)))

    exact = panel.exact(exact, measure, wide.columns).rename(columns={"period": period})
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
    compared = panel.compared()
    chart = charts.contribution_chart(rows, measure, theme(), title)
    chart = panel.footed(chart, f"{title}, from the days before", compared[0] if compared else None)
    draw_bars(chart, name, charts.BAR, pick)
    if segment in FILTERS:
        st.caption(f"Click a bar to see its {segment} alone. With the keyboard, choose it in the filters.")
    else:
        st.caption("Click a bar to see its orders. With the keyboard, choose it among the filters of the Orders page.")
    exact = panel.exact(rows, measure, ("now", "before", "change"))
    download(exact.rename(columns={"segment": metrics.SEGMENTS[segment].label}), name, panel.file(name))
