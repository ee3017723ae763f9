"""The charts of the Sales page. Streamlit sends times to the browser without a time zone.

What depends on the chosen period is data: labels, ticks and texts too. Streamlit draws a chart from scratch when its
specification changes, which takes several times as long as changing its data.
"""

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
_MOST_TICKS = 8
"""At most so many labels of a time axis."""
TICKS = "ticks"
"""The dataset with the labels of a time axis."""
_AXIS = {"hour": "%d %b %H:%M", "day": "%d %b", "week": "%d %b", "month": "%b %Y"}
_WHEN = {
    "hour": "%A %d %B %Y, %H:%M",
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
    segments: list[str] = list(dict.fromkeys(rows["segment"]))
    columns = [f"s{number}" for number in range(len(segments))]
    x = time_axis()
    encoding = {
        "x": x,
        "y": field("value:Q", title=None, axis=amounts(5, money=measure == "revenue")),
        "color": _legend_colour(segments, theme),
    }
    # One row per period, from which the browser makes one per segment: it reads each cell that is sent.
    by_segment: list[Spec] = [
        {"fold": columns, "as": ["column", "value"]},
        {"calculate": "names[toNumber(slice(datum.column, 1))]", "as": "segment"},
    ]
    is_hovered = {"param": "hovered", "empty": False}
    # Draw only the points under the pointer: years of daily points are tens of thousands.
    points = {
        "data": {"name": "periods"},
        "transform": [{"filter": {"or": [is_hovered, "datum.alone"]}}, *by_segment],
        "mark": {"type": "point", "filled": True, "opacity": 1, "size": 45, "aria": False},
        "encoding": encoding,
    }
    rule = {
        "data": {"name": "periods"},
        "transform": [{"filter": is_hovered}],
        "mark": {"type": "rule", "color": NEUTRAL, "aria": False, "opacity": 0.7},
        "encoding": {"x": x},
    }
    form = hover_format(measure)
    values = [tooltip(f"{name}:Q", _short(segment), form) for name, segment in zip(columns, segments, strict=True)]
    # As wide as a period, so that the pointer is always on one.
    each = {"expr": "width / max(length(data('periods')) - 1, 1) + 1"}
    area = {
        "data": {"name": "periods"},
        "params": [_HOVERED],
        "mark": {"type": "rule", "aria": False, "opacity": 0, "strokeWidth": each},
        "encoding": {"x": x, "tooltip": [tooltip("when:N", "When"), *values]},
    }
    lines = [_line("whole", by_segment, encoding), _line("begun", by_segment, encoding, strokeDash=_DASHES)]
    lines[0]["params"] = [_SHOWN]
    return {
        # Names are values of a parameter, not part of an expression: they may be any text.
        "params": [{"name": "names", "value": segments}],
        "layer": [tick_layer(), *_RUNNING_LAYERS, *lines, points, rule, area, *_mark_layers(theme)],
        "height": 360,
        "description": title,
        "datasets": {
            "periods": _periods(rows, segments, grain, now, zone),
            TICKS: ticks(rows["period"], grain),
            "running": _running(rows["period"], grain, now),
            **_marked(marks or Marks()),
        },
    }


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


def _line(part: str, by_segment: list[Spec], encoding: Spec, **style: Any) -> Spec:
    """Return a line for each segment, of the periods whose column `part` is true."""
    return {
        "data": {"name": "periods"},
        "transform": [{"filter": f"datum.{part}"}, *by_segment],
        "mark": {"type": "line", "strokeWidth": 2.2, "aria": False, **style},
        "encoding": encoding | {"opacity": {"value": 0.1, "condition": {"param": "shown", "value": 1}}},
    }


def _periods(rows: pd.DataFrame, segments: Sequence[str], grain: Grain, now: datetime, zone: str) -> pd.DataFrame:
    """Return one row per period: the value of each segment as `s0`, `s1` …, and how the period is drawn.

    The line to a last period that is not over is dashed: `whole` is false for it; `begun` is true for it and the period
    before. A line needs two points: `alone` is true for a period without others.
    """
    wide = rows.assign(value=rows["value"].astype(float)).pivot(index="period", columns="segment", values="value")
    # Number the columns: Vega's field paths do not allow special characters in names.
    numbers = {name: f"s{number}" for number, name in enumerate(segments)}
    wide = wide[list(segments)].rename(columns=numbers).reset_index()
    wide.columns.name = None
    running = is_running(wide["period"].iloc[-1], grain, now)
    last = len(wide) - 1
    wide["whole"] = [not running or place < last for place in range(len(wide))]
    wide["begun"] = [running and place >= last - 1 for place in range(len(wide))]
    wide["alone"] = last == 0
    wide["when"] = when(wide["period"], grain, zone)
    return wide


def when(periods: "pd.Series[Any]", grain: Grain, zone: str = "UTC") -> "pd.Series[Any]":
    """Return the name of each period for a tooltip, such as `Week from Monday 02 March 2026`."""
    names: pd.Series[Any] = periods.dt.strftime(_WHEN[grain])
    return names + f" {zone}" if grain == "hour" else names


def contribution_chart(rows: pd.DataFrame, measure: Measure, theme: Theme, title: str) -> Spec:
    """Return one bar per segment: its contribution to the change, which is also below its name.

    One layer, so that its bars can be clicked: a text beside each bar would be a second.
    """
    segments, is_money = sorted(rows["segment"]), measure == "revenue"
    data = rows.assign(
        rank=range(len(rows)), change=rows["change"].astype(float), relative=rows["relative"].astype(float)
    )
    data["now"], data["before"] = rows["now"].astype(float), rows["before"].astype(float)
    data["amount"] = [_signed(value, money=is_money) for value in data["change"]]
    labels = {
        "labelExpr": (
            "[datum.label, pluck(data('changes'), 'amount')[indexof(pluck(data('changes'), 'segment'), datum.value)]]"
        ),
        "labelLimit": 130,
        "labelOffset": -6,
        "labelColor": _ink(theme),
        "ticks": False,
        "domain": False,
    }
    form = hover_format(measure)
    return {
        "data": {"name": "changes"},
        "datasets": {"changes": data},
        "params": [{"name": BAR, "select": {"type": "point", "fields": ["segment"]}}],
        "mark": {"type": "bar", "cornerRadius": 2, "cursor": "pointer"},
        "encoding": {
            "y": field("segment:N", sort={"field": "rank", "op": "min"}, title=None, axis=labels),
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
    dashed = {
        "fillOpacity": {"value": 1, "condition": {"test": "datum.running", "value": 0.25}},
        "strokeWidth": {"value": 0, "condition": {"test": "datum.running", "value": 1.2}},
        "strokeDash": {"value": [1, 0], "condition": {"test": "datum.running", "value": _DASHES[::-1]}},
        "tooltip": [
            tooltip("when:N", "When"),
            tooltip("orders:Q", "Orders", ",d"),
            tooltip("chats:Q", "Chats", ",d"),
            tooltip("satisfaction:Q", "Satisfaction", ".2f"),
            tooltip("resolution_hours:Q", "Hours to resolution", ".1f"),
        ],
    }
    blue, orange = colours(["orders", "order_details"], theme)
    orders, chats = (
        {
            "mark": {"type": "bar", "color": colour, "stroke": colour},
            "encoding": {
                **dashed,
                "x": time_axis(labels=last),
                "y": field(f"{column}:Q", title=column.capitalize(), axis=amounts(3)),
            },
        }
        for column, colour, last in (("orders", blue, False), ("chats", orange, True))
    )
    return stacked(rows, orders, chats, grain, now, title)


def stacked(rows: pd.DataFrame, upper: Spec, lower: Spec, grain: Grain, now: datetime, title: str) -> Spec:
    """Return two charts with the same time axis. Their data are the rows, with the columns `running` and `when`."""
    running = [is_running(period, grain, now) for period in rows["period"]]
    shape = {"height": 100, "width": "container"}
    return {
        "data": {"name": "rows"},
        "datasets": {
            "rows": rows.assign(running=running, when=when(rows["period"], grain)),
            TICKS: ticks(rows["period"], grain),
        },
        "vconcat": [{**upper, **shape}, {"layer": [tick_layer(), lower], **shape}],
        "spacing": 8,
        "description": title,
    }


def funnel_chart(rows: pd.DataFrame, theme: Theme, title: str) -> Spec:
    """Return one bar per step, with its share of the previous step."""
    texts = [
        f"{events:,}" + ("" if pd.isna(share) else f" · {share:.1%}")
        for events, share in zip(rows["events"], rows["share"], strict=True)
    ]
    # Room for the texts beside the bars.
    reach = float(rows["events"].max()) * 1.35 or 1
    domain = {"domainMin": 0, "domainMax": {"expr": "length(data('steps')) ? data('steps')[0].reach : 1"}}
    return {
        "data": {"name": "steps"},
        "datasets": {"steps": rows.assign(text=texts, reach=reach)},
        "encoding": {
            "y": field("step:N", sort=list(rows["step"]), title=None, axis={"ticks": False, "domain": False}),
            "x": field("events:Q", title=None, axis=None, scale=domain),
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


def time_axis(*, labels: bool = True) -> Spec:
    """Return the time axis of a chart that has the dataset of `ticks` and the `tick_layer`."""
    axis = {
        "values": {"expr": f"pluck(data('{TICKS}'), 'period')"},
        "labelExpr": f"timeFormat(datum.value, data('{TICKS}')[0].form)",
        "labelOverlap": True,
        "grid": False,
        "labels": labels,
    }
    return field("period:T", title=None, axis=axis)


def tick_layer() -> Spec:
    """Return an invisible layer. Vega has a dataset only if a layer draws it."""
    return {
        "data": {"name": TICKS},
        "mark": {"type": "rule", "opacity": 0, "aria": False},
        "encoding": {"x": time_axis()},
    }


def ticks(moments: "pd.Series[Any]", grain: Grain) -> pd.DataFrame:
    """Return the labelled periods of a time axis, and the format of their labels in the column `form`.

    The labels show the year if the data spans several years.
    """
    years = moments.max().year - moments.min().year
    form = _AXIS[grain] if years == 0 else ("%b %Y" if years < 4 else "%Y")
    return pd.DataFrame({"period": _ticks(sorted(set(moments)), by_year=form == "%Y"), "form": form})


def _ticks(periods: Sequence[pd.Timestamp], *, by_year: bool) -> Sequence[pd.Timestamp]:
    """Return evenly spaced periods for the labels of an axis, the last one included."""
    if by_year:
        firsts = {period.year: period for period in reversed(periods)}
        periods = [period for period in reversed(firsts.values()) if period.day_of_year <= 7] or periods
    every = math.ceil(len(periods) / _MOST_TICKS)
    return periods[::-1][::every][::-1]


def is_running(period: pd.Timestamp, grain: Grain, now: datetime) -> bool:
    """Return whether the period is not over."""
    return bool(period + _STEP[grain] > now)


def _running(moments: "pd.Series[Any]", grain: Grain, now: datetime) -> pd.DataFrame:
    """Return the band that marks the period that is not over, with its label; no row if all are over."""
    last = moments.max()
    band = pd.DataFrame({"from": [last - _STEP[grain]], "to": [last], "text": [RUNNING[grain]]})
    return band if is_running(last, grain, now) else band.head(0)


_RUNNING_LAYERS: tuple[Spec, ...] = (
    {
        "data": {"name": "running"},
        "mark": {"type": "rect", "color": NEUTRAL, "opacity": 0.16, "aria": False},
        "encoding": {"x": field("from:T"), "x2": {"field": "to"}},
    },
    {
        "data": {"name": "running"},
        "mark": {"type": "text", "align": "right", "baseline": "bottom", "y": -3, "color": NEUTRAL},
        "encoding": {"x": field("to:T"), "text": field("text:N")},
    },
)


def _marked(marks: Marks) -> dict[str, pd.DataFrame]:
    """Return the unusual days and the notes, each with its text."""
    unusual = zip(marks.unusual_days, marks.unusual, strict=True)
    return {
        name: pd.DataFrame(
            {
                "day": pd.to_datetime([day for day, _ in found]),
                "when": [f"{day:{_WHEN['day']}}" for day, _ in found],
                "text": [text for _, text in found],
            }
        )
        for name, found in (("unusual", list(unusual)), ("notes", list(marks.annotations)))
    }


def _mark_layers(theme: Theme) -> list[Spec]:
    """Return triangles for unusual days and circles for notes, at the top of the chart. The page also lists them."""
    style = {"size": 70, "filled": True, "opacity": 1, "color": _ink(theme), "aria": False}
    return [
        {
            "data": {"name": name},
            "mark": {"type": "point", "shape": shape, **style},
            "encoding": {
                "x": field("day:T", title=None),
                "y": {"value": 6},
                "tooltip": [tooltip("when:N", "Day"), tooltip("text:N", "Note")],
            },
        }
        for name, shape in (("unusual", "triangle-down"), ("notes", "circle"))
    ]


def _scale(segments: Sequence[str], theme: Theme) -> Spec:
    return {"domain": list(segments), "range": colours(segments, theme)}


def _signed(value: float, *, money: bool) -> str:
    text = format.money(value) if money else format.money(value).replace("$", "")
    return text if value < 0 else f"+{text}"


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:39]}…"
