"""The charts of the Pipeline page: rows per cycle, lateness, credits."""

from datetime import datetime, timedelta

import pandas as pd

from adventure.dashboard.colours import Theme, colours
from adventure.dashboard.vega import Spec, amounts, field, tooltip


def cycles_chart(rows: pd.DataFrame, streams: list[str], now: datetime, theme: Theme) -> Spec:
    """Return one panel per stream with the rows per cycle of each minute, on a shared time axis."""
    begun = max(rows["minute"].min(), now - timedelta(hours=6)) - timedelta(minutes=1)
    scale = {"domain": [begun.isoformat(), now.isoformat()]}
    # At most one tick per minute: labels show no seconds.
    ticks = max(1, min(6, (now - begun) // timedelta(minutes=1)))
    tooltips = [
        tooltip("minute:T", "Minute (UTC)", "%d %b, %H:%M"),
        tooltip("windows:Q", "Cycles with rows", ",d"),
        tooltip("rows:Q", "Rows", ",d"),
        tooltip("rejected:Q", "Rejected", ",d"),
    ]
    panels = []
    for stream, colour in zip(streams, colours(streams, theme), strict=True):
        axis = {"format": "%H:%M", "grid": False, "tickCount": ticks, "labels": stream == streams[-1]}
        panels.append(
            {
                "data": rows[rows["stream"] == stream].assign(per_cycle=rows["rows"] / rows["windows"]),
                "mark": {"type": "bar", "width": 4, "color": colour},
                "encoding": {
                    "x": field("minute:T", title=None, scale=scale, axis=axis),
                    "y": field("per_cycle:Q", title=stream, axis=amounts(3)),
                    "tooltip": tooltips,
                },
                "height": 78,
                "width": "container",
            }
        )
    return {"vconcat": panels, "spacing": 8, "description": "Rows per cycle of each stream over the last hours"}


def lateness_chart(rows: pd.DataFrame, streams: list[str], theme: Theme) -> Spec:
    """Return bars of the rows that arrived below the watermark, grouped by how far below."""
    order = list(dict.fromkeys(rows["late"]))
    scale = {"domain": streams, "range": colours(streams, theme)}
    return {
        "data": rows,
        "mark": {"type": "bar"},
        "encoding": {
            "x": field("late:N", sort=order, title=None, axis={"labelAngle": 0, "labelOverlap": True}),
            "xOffset": field("stream:N", sort=streams),
            "y": field("rows:Q", title=None, axis=amounts(4)),
            "color": field("stream:N", scale=scale, legend={"title": None, "orient": "top"}),
            "tooltip": [
                tooltip("stream:N", "Stream"),
                tooltip("late:N", "Below the watermark by"),
                tooltip("rows:Q", "Rows", ",d"),
            ],
        },
        "height": 240,
        "description": "Rows that arrived below the watermark, by how much",
    }


def credits_chart(rows: pd.DataFrame, theme: Theme) -> Spec:
    """Return one bar per day. A day on which nothing ran has no bar."""
    axis = {"format": "%d %b", "labelOverlap": True, "grid": False}
    return {
        "data": rows.assign(day=pd.to_datetime(rows["day"])),
        "mark": {"type": "bar", "color": colours(["orders"], theme)[0]},
        "encoding": {
            "x": field("day:T", timeUnit="yearmonthdate", title=None, axis=axis),
            "y": field("credits:Q", title="Credits", axis={"tickCount": 4}),
            "tooltip": [tooltip("day:T", "Day (UTC)", "%A %d %B %Y"), tooltip("credits:Q", "Credits", ",.3f")],
        },
        "height": 180,
        "description": "Credits used per day",
    }
