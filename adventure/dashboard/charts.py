"""The chart: one line a segment, in colours that stay with their segment and that the colour-blind can tell apart."""

from datetime import date, timedelta

import altair as alt
import pandas as pd

from adventure.dashboard.figures import MEASURES, Grain, Measure
from adventure.dashboard.format import axis_format, hover_format

# Okabe and Ito's palette (jfly.uni-koeln.de/color), without its black, which vanishes on a dark page.
_PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#999999")
_FIXED = {
    name: _PALETTE[position]
    for position, name in [
        (0, "United States"), (1, "Australia"), (2, "Canada"), (3, "United Kingdom"), (4, "France"), (5, "Germany"),
        (0, "online"), (1, "reseller"),
        (0, "first-time"), (2, "repeat"),
    ]
}  # fmt: skip


def colours(segments: list[str]) -> list[str]:
    """A colour for each segment: known ones keep theirs, others take what is left in the order of their names."""
    free = [colour for colour in _PALETTE if colour not in {_FIXED.get(name) for name in segments}] or list(_PALETTE)
    unknown = sorted(name for name in segments if name not in _FIXED)
    return [_FIXED.get(name) or free[unknown.index(name) % len(free)] for name in segments]


def sales_chart(rows: pd.DataFrame, measure: Measure, grain: Grain, today: date) -> alt.LayerChart:
    """Lines over time, a legend that filters, and all values of the period under the pointer."""
    data = rows.assign(value=rows["value"].astype(float))
    segments = list(dict.fromkeys(rows["segment"]))
    scale = alt.Scale(domain=segments, range=colours(segments))
    shown = alt.selection_point(fields=["segment"], bind="legend")
    hovered = alt.selection_point(fields=["period"], nearest=True, on="pointerover", empty=False, clear="pointerout")
    x = alt.X(
        "period:T",
        title=None,
        # No UTC scale: Streamlit hands the browser times without a zone so that it writes them as they are here.
        axis=alt.Axis(format="%d %b %H:%M" if grain == "hour" else "%d %b", labelOverlap=True, grid=False),
    )
    y = alt.Y("value:Q", title=MEASURES[measure], axis=alt.Axis(format=axis_format(measure), tickCount=5))
    colour = alt.Color("segment:N", scale=scale, sort=segments, legend=alt.Legend(title=None, orient="top"))
    lines = (
        alt.Chart(data)
        .mark_line(strokeWidth=2.2)
        .encode(x=x, y=y, color=colour, opacity=alt.condition(shown, alt.value(1), alt.value(0.12)))
        .add_params(shown)
    )
    wide = data.pivot(index="period", columns="segment", values="value").reset_index()
    # Names that are not plain may not stand in Vega's field paths: the hover reads numbered columns.
    wide.columns = pd.Index(["period", *(f"s{segments.index(name)}" for name in wide.columns[1:])])
    when = "%A %d %B, %H:%M UTC" if grain == "hour" else "%A %d %B"
    tooltip = [alt.Tooltip("period:T", title="When", format=when)]
    tooltip += [
        alt.Tooltip(f"s{number}:Q", title=name, format=hover_format(measure)) for number, name in enumerate(segments)
    ]
    rule = (
        alt.Chart(wide)
        .mark_rule(color="#888888")
        .encode(x=x, opacity=alt.condition(hovered, alt.value(0.6), alt.value(0)), tooltip=tooltip)
        .add_params(hovered)
    )
    points = lines.mark_point(filled=True, size=45).encode(opacity=alt.condition(hovered, alt.value(1), alt.value(0)))
    layers = [_running_day(today), lines, points, rule] if grain == "day" else [lines, points, rule]
    return alt.layer(*layers).properties(height=380)


def _running_day(today: date) -> alt.LayerChart:
    """The day that is not over: a band behind its end of the lines, and a word that says so."""
    band = pd.DataFrame({"from": [pd.Timestamp(today) - timedelta(days=1)], "to": [pd.Timestamp(today)]})
    area = alt.Chart(band).mark_rect(color="#888888", opacity=0.14).encode(x="from:T", x2="to:T")
    text = (
        alt.Chart(band)
        .mark_text(align="right", baseline="top", dx=-4, y=4, color="#888888", text="today, so far")
        .encode(x="to:T")
    )
    return alt.layer(area, text)
