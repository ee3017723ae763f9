"""The charts of the Sales page. Streamlit sends times to the browser without a time zone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import altair as alt
import pandas as pd

from adventure.dashboard import axes, format
from adventure.dashboard.colours import NEUTRAL, Theme, colours
from adventure.dashboard.format import hover_format
from adventure.dashboard.sales.metrics import Measure
from adventure.dashboard.sales.scope import Grain

RUNNING = {
    "hour": "this hour, so far",
    "day": "today, so far",
    "week": "this week, so far",
    "month": "this month, so far",
}
_STEP = {
    "hour": pd.DateOffset(hours=1),
    "day": pd.DateOffset(days=1),
    "week": pd.DateOffset(weeks=1),
    "month": pd.DateOffset(months=1),
}
_DASHES = [5, 4]
BAR = "bar"
"""The selection of a clicked bar, by the field `segment`."""
_TICKS = 8
"""At most so many labels of a time axis."""
_AXIS = {"hour": "%d %b %H:%M", "day": "%d %b", "week": "%d %b", "month": "%b %Y"}
WHEN = {
    "hour": "%A %d %B %Y, %H:%M UTC",
    "day": "%A %d %B %Y",
    "week": "Week from %A %d %B %Y",
    "month": "%B %Y",
}


@dataclass(frozen=True)
class Marks:
    """Unusual days and notes, which are marked above the time axis."""

    unusual: Sequence[str] = ()
    """A sentence for each unusual day."""
    unusual_days: Sequence[date] = ()
    annotations: Sequence[tuple[date, str]] = ()


def sales_chart(
    rows: pd.DataFrame,
    measure: Measure,
    grain: Grain,
    now: datetime,
    theme: Theme,
    title: str,
    marks: Marks | None = None,
    zone: str = "UTC",
) -> alt.LayerChart:
    """Return lines over time, with a legend that filters and a tooltip that shows all values of a period.

    Args:
        rows: see `over_time.series`.
        now: in the time zone of the rows.
    """
    data = rows.assign(value=rows["value"].astype(float))
    segments: list[str] = list(dict.fromkeys(rows["segment"]))
    shown = alt.selection_point(fields=["segment"], bind="legend")
    hovered = alt.selection_point(fields=["period"], on="pointerover", empty=False, clear="pointerout")
    x = time_axis(rows["period"], grain)
    y = alt.Y("value:Q", title=None, axis=axes.amounts(5, money=measure == "revenue"))
    base = alt.Chart(data).encode(x=x, y=y, color=_legend_colour(segments, theme))
    # Draw only the points under the pointer: years of daily points are tens of thousands.
    points = base.mark_point(filled=True, size=45, aria=False).transform_filter(hovered)
    wide, tooltip = _hover(data, segments, WHEN[grain].replace("UTC", zone), hover_format(measure))
    target = alt.Chart(wide).encode(x=x)
    rule = target.mark_rule(color=NEUTRAL, aria=False, opacity=0.7).transform_filter(hovered)
    # As wide as a period, so that the pointer is always on one.
    each = alt.ExprRef(f"width / {max(len(wide) - 1, 1)} + 1")
    area = target.mark_rule(aria=False, opacity=0, strokeWidth=each).encode(tooltip=tooltip).add_params(hovered)
    lines = _lines(base, data, shown, is_running(max(rows["period"]), grain, now))
    layers = [*_running(rows["period"], grain, now), *lines, points, rule, area, *_marks(marks or Marks(), theme)]
    # Each change of a drawn chart copies it whole.
    return alt.layer(*layers, height=360, description=title)


def _legend_colour(segments: Sequence[str], theme: Theme) -> alt.Color:
    """Return the colours of the segments, with a legend. A narrow screen would cut off a legend in one row."""
    columns, limit = alt.ExprRef("width < 480 ? 2 : 0"), alt.ExprRef("width < 480 ? 100 : 160")
    legend = alt.Legend(
        title=None, orient="top", columns=columns, labelLimit=limit, symbolType="stroke", symbolStrokeWidth=4
    )
    return alt.Color("segment:N", scale=_scale(segments, theme), sort=list(segments), legend=legend)


def _lines(base: alt.Chart, data: pd.DataFrame, shown: alt.Parameter, running: bool) -> list[alt.Chart]:
    """Return a line for each segment; the way to a last period that is not over is dashed."""
    periods = sorted(set(data["period"]))
    opacity = alt.OpacityValue(0.1, condition={"param": shown.name, "value": 1})
    # A line needs two points: a period alone is a point. The browser would compute a label for each point.
    base = base.encode(opacity=opacity)
    drawn = base.mark_line(strokeWidth=2.2, aria=False, point=len(periods) - running == 1).add_params(shown)
    if not running:
        return [drawn]
    drawn.data = data[data["period"] < periods[-1]]
    tail = base.mark_line(strokeWidth=2.2, strokeDash=_DASHES, aria=False, point=len(periods) == 1)
    tail.data = data[data["period"] >= periods[-2:][0]]
    return [drawn, tail]


def _hover(data: pd.DataFrame, segments: Sequence[str], when: str, form: str) -> tuple[pd.DataFrame, list[alt.Tooltip]]:
    """Return one row per period, and a tooltip with the values of all segments."""
    wide = data.pivot(index="period", columns="segment", values="value").reset_index()
    # Number the columns for the tooltip: Vega's field paths do not allow special characters in names.
    wide.columns = pd.Index(["period", *(f"s{segments.index(name)}" for name in wide.columns[1:])])
    tooltip = [alt.Tooltip("period:T", title="When", format=when)]
    tooltip += [alt.Tooltip(f"s{number}:Q", title=_short(name), format=form) for number, name in enumerate(segments)]
    return wide, tooltip


def contribution_chart(rows: pd.DataFrame, measure: Measure, theme: Theme, title: str) -> alt.Chart:
    """Return one bar per segment: its contribution to the change, which is also below its name.

    One layer, so that its bars can be clicked: a text beside each bar would be a second.
    """
    segments, is_money = list(rows["segment"]), measure == "revenue"
    data = rows.assign(change=rows["change"].astype(float), relative=rows["relative"].astype(float))
    data["now"], data["before"] = rows["now"].astype(float), rows["before"].astype(float)
    # Names are values of parameters, not part of the expression: they may be any text.
    names = alt.param(name="names", value=segments)
    amounts = alt.param(name="amounts", value=[_signed(value, money=is_money) for value in data["change"]])
    labels = alt.Axis(
        labelExpr="[datum.label, amounts[indexof(names, datum.value)]]",
        labelLimit=130,
        labelOffset=-6,
        labelColor=_ink(theme),
        ticks=False,
        domain=False,
    )
    form = hover_format(measure)
    tooltip = [
        alt.Tooltip("segment:N", title="Segment"),
        alt.Tooltip("change:Q", title="Change", format=form),
        alt.Tooltip("relative:Q", title="Relative", format="+.1%"),
        alt.Tooltip("now:Q", title="This period", format=form),
        alt.Tooltip("before:Q", title="Previous period", format=form),
    ]
    drawn: alt.Chart = (
        alt.Chart(data)
        .mark_bar(cornerRadius=2, cursor="pointer")
        .encode(
            y=alt.Y("segment:N", sort=segments, title=None, axis=labels),
            x=alt.X("change:Q", title=None, axis=axes.amounts(4, money=is_money)),
            color=alt.Color("segment:N", scale=_scale(segments, theme), legend=None),
            tooltip=tooltip,
        )
        .add_params(names, amounts, alt.selection_point(name=BAR, fields=["segment"]))
        .properties(height=max(120, 38 * len(segments) + 30), description=title)
    )
    return drawn


def chats_chart(rows: pd.DataFrame, grain: Grain, now: datetime, theme: Theme, title: str) -> alt.VConcatChart:
    """Return orders above and chats below, on a shared time axis. The bar of a period that is not over is dashed."""
    rows = rows.assign(running=[is_running(period, grain, now) for period in rows["period"]])
    dashed = {
        "fillOpacity": alt.FillOpacityValue(1, condition={"test": "datum.running", "value": 0.25}),
        "strokeWidth": alt.StrokeWidthValue(0, condition={"test": "datum.running", "value": 1.2}),
        "strokeDash": alt.StrokeDashValue([1, 0], condition={"test": "datum.running", "value": _DASHES[::-1]}),
    }
    blue, orange = colours(["orders", "order_details"], theme)
    tooltip = [
        alt.Tooltip("period:T", title="When", format=WHEN[grain]),
        alt.Tooltip("orders:Q", title="Orders", format=",d"),
        alt.Tooltip("chats:Q", title="Chats", format=",d"),
        alt.Tooltip("satisfaction:Q", title="Satisfaction", format=".2f"),
        alt.Tooltip("resolution_hours:Q", title="Hours to resolution", format=".1f"),
    ]
    base = alt.Chart(rows).encode(tooltip=tooltip)
    panels = [
        base.mark_bar(color=colour, stroke=colour).encode(
            **dashed,
            x=time_axis(rows["period"], grain, labels=last),
            y=alt.Y(f"{column}:Q", title=column.capitalize(), axis=axes.amounts(3)),
        ).properties(height=100, width="container")
        for column, colour, last in (("orders", blue, False), ("chats", orange, True))
    ]  # fmt: skip
    return alt.vconcat(*panels, spacing=8, description=title)


def funnel_chart(rows: pd.DataFrame, theme: Theme, title: str) -> alt.LayerChart:
    """Return one bar per step, with its share of the previous step."""
    texts = [
        f"{events:,}" + ("" if pd.isna(share) else f" · {share:.1%}")
        for events, share in zip(rows["events"], rows["share"], strict=True)
    ]
    data = rows.assign(text=texts)
    base = alt.Chart(data).encode(
        y=alt.Y("step:N", sort=list(data["step"]), title=None, axis=alt.Axis(ticks=False, domain=False)),
        x=alt.X("events:Q", title=None, axis=None, scale=alt.Scale(domain=[0, rows["events"].max() * 1.35 or 1])),
        tooltip=[
            alt.Tooltip("step:N", title="Step"),
            alt.Tooltip("events:Q", title="Events", format=",d"),
            alt.Tooltip("share:Q", title="Share of previous step", format=".1%"),
        ],
    )
    bars = base.mark_bar(cornerRadius=2, color=colours(["orders"], theme)[0])
    text = base.mark_text(align="left", dx=5, color=_ink(theme)).encode(text="text:N")
    return alt.layer(bars, text, height=170, description=title)


def _ink(theme: Theme) -> str:
    return "#31333F" if theme == "light" else "#FAFAFA"


def time_axis(moments: "pd.Series[Any]", grain: Grain, *, labels: bool = True) -> alt.X:
    """Return the time axis. Its labels show the year if the data spans several years."""
    years = moments.max().year - moments.min().year
    form = _AXIS[grain] if years == 0 else ("%b %Y" if years < 4 else "%Y")
    ticks = [
        alt.DateTime(year=tick.year, month=tick.month, date=tick.day, hours=tick.hour)
        for tick in _ticks(sorted(set(moments)), by_year=form == "%Y")
    ]
    axis = alt.Axis(format=form, labelOverlap=True, grid=False, labels=labels, values=ticks)
    return alt.X("period:T", title=None, axis=axis)


def _ticks(periods: Sequence[pd.Timestamp], *, by_year: bool) -> Sequence[pd.Timestamp]:
    """Return evenly spaced periods for the labels of an axis, the last one included."""
    if by_year:
        firsts = {period.year: period for period in reversed(periods)}
        periods = [period for period in reversed(firsts.values()) if period.day_of_year <= 7] or periods
    every = math.ceil(len(periods) / _TICKS)
    return periods[::-1][::every][::-1]


def is_running(period: pd.Timestamp, grain: Grain, now: datetime) -> bool:
    """Return whether the period is not over."""
    return bool(period + _STEP[grain] > now)


def _running(moments: "pd.Series[Any]", grain: Grain, now: datetime) -> list[alt.Chart]:
    """Return a labelled band that marks the period that is not over; empty if all are over."""
    last = moments.max()
    if not is_running(last, grain, now):
        return []
    band = pd.DataFrame({"from": [last - _STEP[grain]], "to": [last]})
    area = alt.Chart(band).mark_rect(color=NEUTRAL, opacity=0.16).encode(x="from:T", x2="to:T")
    text = (
        alt.Chart(band)
        .mark_text(align="right", baseline="bottom", y=-3, color=NEUTRAL, text=RUNNING[grain])
        .encode(x="to:T")
    )
    return [area, text]


def _marks(marks: Marks, theme: Theme) -> list[alt.Chart]:
    """Return triangles for unusual days and circles for notes, at the top of the chart."""
    layers = []
    for shape, days, texts in (
        ("triangle-down", marks.unusual_days, marks.unusual),
        ("circle", [day for day, _ in marks.annotations], [text for _, text in marks.annotations]),
    ):
        if days:
            data = pd.DataFrame({"day": pd.to_datetime(list(days)), "text": list(texts)})
            drawn = alt.Chart(data).mark_point(shape=shape, size=70, filled=True, opacity=1, color=_ink(theme))
            tooltip = [alt.Tooltip("day:T", title="Day", format=WHEN["day"]), alt.Tooltip("text:N", title="Note")]
            layers.append(drawn.encode(x=alt.X("day:T", title=None), y=alt.value(6), tooltip=tooltip))
    return layers


def _scale(segments: Sequence[str], theme: Theme) -> alt.Scale:
    return alt.Scale(domain=list(segments), range=colours(segments, theme))


def _signed(value: float, *, money: bool) -> str:
    text = format.money(value) if money else format.money(value).replace("$", "")
    return text if value < 0 else f"+{text}"


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:39]}…"
