"""The charts of the Sales page. Streamlit sends times to the browser without a time zone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pandas as pd

from adventure.dashboard import format
from adventure.dashboard.colours import NEUTRAL, Theme, colours
from adventure.dashboard.format import hover_format
from adventure.dashboard.sales.metrics import Measure
from adventure.dashboard.sales.scope import Grain
from adventure.dashboard.vega import Spec, amounts, field, tooltip

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
_SHOWN: Spec = {"name": "shown", "select": {"type": "point", "fields": ["segment"]}, "bind": "legend"}
"""The segments that a click on the legend chose."""
_HOVERED: Spec = {
    "name": "hovered",
    "select": {"type": "point", "fields": ["period"], "on": "pointerover", "clear": "pointerout"},
}
"""The period under the pointer."""
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
) -> Spec:
    """Return lines over time, with a legend that filters and a tooltip that shows all values of a period.

    Args:
        rows: see `over_time.series`.
        now: in the time zone of the rows.
    """
    data = rows.assign(value=rows["value"].astype(float))
    segments: list[str] = list(dict.fromkeys(rows["segment"]))
    x = time_axis(rows["period"], grain)
    encoding = {
        "x": x,
        "y": field("value:Q", title=None, axis=amounts(5, money=measure == "revenue")),
        "color": _legend_colour(segments, theme),
    }
    is_hovered = {"filter": {"param": "hovered", "empty": False}}
    # Draw only the points under the pointer: years of daily points are tens of thousands.
    points = {
        "data": data,
        "transform": [is_hovered],
        "mark": {"type": "point", "filled": True, "size": 45, "aria": False},
        "encoding": encoding,
    }
    wide, tooltips = _hover(data, segments, WHEN[grain].replace("UTC", zone), hover_format(measure))
    rule = {
        "data": wide,
        "transform": [is_hovered],
        "mark": {"type": "rule", "color": NEUTRAL, "aria": False, "opacity": 0.7},
        "encoding": {"x": x},
    }
    # As wide as a period, so that the pointer is always on one.
    each = {"expr": f"width / {max(len(wide) - 1, 1)} + 1"}
    area = {
        "data": wide,
        "params": [_HOVERED],
        "mark": {"type": "rule", "aria": False, "opacity": 0, "strokeWidth": each},
        "encoding": {"x": x, "tooltip": tooltips},
    }
    lines = _lines(data, encoding, is_running(max(rows["period"]), grain, now))
    layers = [*_running(rows["period"], grain, now), *lines, points, rule, area, *_marks(marks or Marks(), theme)]
    return {"layer": layers, "height": 360, "description": title}


def _legend_colour(segments: Sequence[str], theme: Theme) -> Spec:
    """Return the colours of the segments, with a legend. A narrow screen would cut off a legend in one row."""
    legend = {
        "title": None,
        "orient": "top",
        "columns": {"expr": "width < 480 ? 2 : 0"},
        "labelLimit": {"expr": "width < 480 ? 100 : 160"},
        "symbolType": "stroke",
        "symbolStrokeWidth": 4,
    }
    return field("segment:N", scale=_scale(segments, theme), sort=list(segments), legend=legend)


def _lines(data: pd.DataFrame, encoding: Spec, running: bool) -> list[Spec]:
    """Return a line for each segment; the way to a last period that is not over is dashed."""
    periods = sorted(set(data["period"]))
    encoding = encoding | {"opacity": {"value": 0.1, "condition": {"param": "shown", "value": 1}}}

    def line(rows: pd.DataFrame, count: int, **style: Any) -> Spec:
        # A line needs two points: a period alone is a point. The browser would compute a label for each point.
        mark = {"type": "line", "strokeWidth": 2.2, "aria": False, "point": count == 1, **style}
        return {"data": rows, "mark": mark, "encoding": encoding}

    solid = line(data[data["period"] < periods[-1]] if running else data, len(periods) - running)
    solid["params"] = [_SHOWN]
    if not running:
        return [solid]
    return [solid, line(data[data["period"] >= periods[-2:][0]], len(periods), strokeDash=_DASHES)]


def _hover(data: pd.DataFrame, segments: Sequence[str], when: str, form: str) -> tuple[pd.DataFrame, list[Spec]]:
    """Return one row per period, and a tooltip with the values of all segments."""
    wide = data.pivot(index="period", columns="segment", values="value").reset_index()
    # Number the columns for the tooltip: Vega's field paths do not allow special characters in names.
    wide.columns = pd.Index(["period", *(f"s{segments.index(name)}" for name in wide.columns[1:])])
    values = [tooltip(f"s{number}:Q", _short(name), form) for number, name in enumerate(segments)]
    return wide, [tooltip("period:T", "When", when), *values]


def contribution_chart(rows: pd.DataFrame, measure: Measure, theme: Theme, title: str) -> Spec:
    """Return one bar per segment: its contribution to the change, which is also below its name.

    One layer, so that its bars can be clicked: a text beside each bar would be a second.
    """
    segments, is_money = list(rows["segment"]), measure == "revenue"
    data = rows.assign(change=rows["change"].astype(float), relative=rows["relative"].astype(float))
    data["now"], data["before"] = rows["now"].astype(float), rows["before"].astype(float)
    labels = {
        "labelExpr": "[datum.label, amounts[indexof(names, datum.value)]]",
        "labelLimit": 130,
        "labelOffset": -6,
        "labelColor": _ink(theme),
        "ticks": False,
        "domain": False,
    }
    form = hover_format(measure)
    return {
        "data": data,
        # Names are values of parameters, not part of the expression: they may be any text.
        "params": [
            {"name": "names", "value": segments},
            {"name": "amounts", "value": [_signed(value, money=is_money) for value in data["change"]]},
            {"name": BAR, "select": {"type": "point", "fields": ["segment"]}},
        ],
        "mark": {"type": "bar", "cornerRadius": 2, "cursor": "pointer"},
        "encoding": {
            "y": field("segment:N", sort=segments, title=None, axis=labels),
            "x": field("change:Q", title=None, axis=amounts(4, money=is_money)),
            "color": field("segment:N", scale=_scale(segments, theme), legend=None),
            "tooltip": [
                tooltip("segment:N", "Segment"),
                tooltip("change:Q", "Change", form),
                tooltip("relative:Q", "Relative", "+.1%"),
                tooltip("now:Q", "This period", form),
                tooltip("before:Q", "Previous period", form),
            ],
        },
        "height": max(120, 38 * len(segments) + 30),
        "description": title,
    }


def chats_chart(rows: pd.DataFrame, grain: Grain, now: datetime, theme: Theme, title: str) -> Spec:
    """Return orders above and chats below, on a shared time axis. The bar of a period that is not over is dashed."""
    rows = rows.assign(running=[is_running(period, grain, now) for period in rows["period"]])
    dashed = {
        "fillOpacity": {"value": 1, "condition": {"test": "datum.running", "value": 0.25}},
        "strokeWidth": {"value": 0, "condition": {"test": "datum.running", "value": 1.2}},
        "strokeDash": {"value": [1, 0], "condition": {"test": "datum.running", "value": _DASHES[::-1]}},
        "tooltip": [
            tooltip("period:T", "When", WHEN[grain]),
            tooltip("orders:Q", "Orders", ",d"),
            tooltip("chats:Q", "Chats", ",d"),
            tooltip("satisfaction:Q", "Satisfaction", ".2f"),
            tooltip("resolution_hours:Q", "Hours to resolution", ".1f"),
        ],
    }
    blue, orange = colours(["orders", "order_details"], theme)
    panels = [
        {
            "mark": {"type": "bar", "color": colour, "stroke": colour},
            "encoding": {
                **dashed,
                "x": time_axis(rows["period"], grain, labels=last),
                "y": field(f"{column}:Q", title=column.capitalize(), axis=amounts(3)),
            },
            "height": 100,
            "width": "container",
        }
        for column, colour, last in (("orders", blue, False), ("chats", orange, True))
    ]
    return {"data": rows, "vconcat": panels, "spacing": 8, "description": title}


def funnel_chart(rows: pd.DataFrame, theme: Theme, title: str) -> Spec:
    """Return one bar per step, with its share of the previous step."""
    texts = [
        f"{events:,}" + ("" if pd.isna(share) else f" · {share:.1%}")
        for events, share in zip(rows["events"], rows["share"], strict=True)
    ]
    # Room for the texts beside the bars.
    domain = [0, float(rows["events"].max()) * 1.35 or 1]
    return {
        "data": rows.assign(text=texts),
        "encoding": {
            "y": field("step:N", sort=list(rows["step"]), title=None, axis={"ticks": False, "domain": False}),
            "x": field("events:Q", title=None, axis=None, scale={"domain": domain}),
            "tooltip": [
                tooltip("step:N", "Step"),
                tooltip("events:Q", "Events", ",d"),
                tooltip("share:Q", "Share of previous step", ".1%"),
            ],
        },
        "layer": [
            {"mark": {"type": "bar", "cornerRadius": 2, "color": colours(["orders"], theme)[0]}},
            {
                "mark": {"type": "text", "align": "left", "dx": 5, "color": _ink(theme)},
                "encoding": {"text": field("text:N")},
            },
        ],
        "height": 170,
        "description": title,
    }


def _ink(theme: Theme) -> str:
    return "#31333F" if theme == "light" else "#FAFAFA"


def time_axis(moments: "pd.Series[Any]", grain: Grain, *, labels: bool = True) -> Spec:
    """Return the time axis. Its labels show the year if the data spans several years."""
    years = moments.max().year - moments.min().year
    form = _AXIS[grain] if years == 0 else ("%b %Y" if years < 4 else "%Y")
    ticks = [
        {"year": tick.year, "month": tick.month, "date": tick.day, "hours": tick.hour}
        for tick in _ticks(sorted(set(moments)), by_year=form == "%Y")
    ]
    axis = {"format": form, "labelOverlap": True, "grid": False, "labels": labels, "values": ticks}
    return field("period:T", title=None, axis=axis)


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


def _running(moments: "pd.Series[Any]", grain: Grain, now: datetime) -> list[Spec]:
    """Return a labelled band that marks the period that is not over; empty if all are over."""
    last = moments.max()
    if not is_running(last, grain, now):
        return []
    band = pd.DataFrame({"from": [last - _STEP[grain]], "to": [last]})
    label = {"type": "text", "align": "right", "baseline": "bottom", "y": -3, "color": NEUTRAL, "text": RUNNING[grain]}
    return [
        {
            "data": band,
            "mark": {"type": "rect", "color": NEUTRAL, "opacity": 0.16},
            "encoding": {"x": field("from:T"), "x2": {"field": "to"}},
        },
        {"data": band, "mark": label, "encoding": {"x": field("to:T")}},
    ]


def _marks(marks: Marks, theme: Theme) -> list[Spec]:
    """Return triangles for unusual days and circles for notes, at the top of the chart."""
    layers = []
    for shape, days, texts in (
        ("triangle-down", marks.unusual_days, marks.unusual),
        ("circle", [day for day, _ in marks.annotations], [text for _, text in marks.annotations]),
    ):
        if days:
            data = pd.DataFrame({"day": pd.to_datetime(list(days)), "text": list(texts)})
            mark = {"type": "point", "shape": shape, "size": 70, "filled": True, "opacity": 1, "color": _ink(theme)}
            encoding = {
                "x": field("day:T", title=None),
                "y": {"value": 6},
                "tooltip": [tooltip("day:T", "Day", WHEN["day"]), tooltip("text:N", "Note")],
            }
            layers.append({"data": data, "mark": mark, "encoding": encoding})
    return layers


def _scale(segments: Sequence[str], theme: Theme) -> Spec:
    return {"domain": list(segments), "range": colours(segments, theme)}


def _signed(value: float, *, money: bool) -> str:
    text = format.money(value) if money else format.money(value).replace("$", "")
    return text if value < 0 else f"+{text}"


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:39]}…"
