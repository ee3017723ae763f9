"""The charts of the Pipeline page: rows per cycle, lateness, credits."""

from datetime import datetime, timedelta

import altair as alt
import pandas as pd

from adventure.dashboard import axes
from adventure.dashboard.colours import Theme, colours


def cycles_chart(rows: pd.DataFrame, streams: list[str], now: datetime, theme: Theme) -> alt.VConcatChart:
    """Return one panel per stream with the rows per cycle of each minute, on a shared time axis."""
    begun = max(rows["minute"].min(), now - timedelta(hours=6)) - timedelta(minutes=1)
    x_scale = alt.Scale(domain=[begun.isoformat(), now.isoformat()])
    panels = []
    # At most one tick per minute: labels show no seconds.
    ticks = max(1, min(6, (now - begun) // timedelta(minutes=1)))
    for stream, colour in zip(streams, colours(streams, theme), strict=True):
        axis = alt.Axis(format="%H:%M", grid=False, tickCount=ticks, labels=stream == streams[-1])
        data = rows[rows["stream"] == stream].assign(per_cycle=rows["rows"] / rows["windows"])
        panels.append(
            alt.Chart(data)
            .mark_bar(width=4, color=colour)
            .encode(
                x=alt.X("minute:T", title=None, scale=x_scale, axis=axis),
                y=alt.Y("per_cycle:Q", title=stream, axis=axes.amounts(3)),
                tooltip=[
                    alt.Tooltip("minute:T", title="Minute (UTC)", format="%d %b, %H:%M"),
                    alt.Tooltip("windows:Q", title="Cycles with rows", format=",d"),
                    alt.Tooltip("rows:Q", title="Rows", format=",d"),
                    alt.Tooltip("rejected:Q", title="Rejected", format=",d"),
                ],
            )
            .properties(height=78, width="container")
        )
    return alt.vconcat(*panels, spacing=8, description="Rows per cycle of each stream over the last hours")


def lateness_chart(rows: pd.DataFrame, streams: list[str], theme: Theme) -> alt.Chart:
    """Return bars of the rows that arrived below the watermark, grouped by how far below."""
    order = list(dict.fromkeys(rows["late"]))
    scale = alt.Scale(domain=streams, range=colours(streams, theme))
    chart: alt.Chart = (
        alt.Chart(rows)
        .mark_bar()
        .encode(
            x=alt.X("late:N", sort=order, title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            xOffset=alt.XOffset("stream:N", sort=streams),
            y=alt.Y("rows:Q", title=None, axis=axes.amounts(4)),
            color=alt.Color("stream:N", scale=scale, legend=alt.Legend(title=None, orient="top")),
            tooltip=[
                alt.Tooltip("stream:N", title="Stream"),
                alt.Tooltip("late:N", title="Below the watermark by"),
                alt.Tooltip("rows:Q", title="Rows", format=",d"),
            ],
        )
        .properties(height=240, description="Rows that arrived below the watermark, by how much")
    )
    return chart


def credits_chart(rows: pd.DataFrame, theme: Theme) -> alt.Chart:
    """Return one bar per day. A day on which nothing ran has no bar."""
    data = rows.assign(day=pd.to_datetime(rows["day"]))
    chart: alt.Chart = (
        alt.Chart(data)
        .mark_bar(color=colours(["orders"], theme)[0])
        .encode(
            x=alt.X("yearmonthdate(day):T", title=None, axis=alt.Axis(format="%d %b", labelOverlap=True, grid=False)),
            y=alt.Y("credits:Q", title="Credits", axis=alt.Axis(tickCount=4)),
            tooltip=[
                alt.Tooltip("day:T", title="Day (UTC)", format="%A %d %B %Y"),
                alt.Tooltip("credits:Q", title="Credits", format=",.3f"),
            ],
        )
        .properties(height=180, description="Credits used per day")
    )
    return chart
