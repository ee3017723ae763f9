"""Draw charts side by side as SVG: points over a logarithmic size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import altair as alt
import pandas as pd

_COLOUR, _WIDTH, _HEIGHT = "#1f6f8b", 280, 190


@dataclass(frozen=True)
class Series:
    """The points of a chart."""

    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """A chart. Its y-axis begins at zero, or is logarithmic if y is proportional to x."""

    title: str
    unit: str
    series: Series
    proportional: bool = False
    """Draw the line of proportional growth from the first point as well."""


def draw(panels: Sequence[Panel], x_title: str, path: Path) -> None:
    """Write the panels side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = alt.hconcat(*(_panel(panel, x_title) for panel in panels), background="white")
    drawn.configure_view(stroke=None).save(path)


def _panel(panel: Panel, x_title: str) -> alt.LayerChart:
    points = pd.DataFrame({"x": panel.series.x, "y": panel.series.y})
    sizes = alt.Axis(format="~s", grid=False, values=list(panel.series.x))
    x = alt.X("x:Q", title=x_title, scale=alt.Scale(type="log"), axis=sizes)
    scale = alt.Scale(type="log" if panel.proportional else "linear")
    y = alt.Y("y:Q", title=None, scale=scale, axis=alt.Axis(tickCount=4))
    layers = [alt.Chart(points).mark_line(color=_COLOUR, point=alt.OverlayMarkDef(color=_COLOUR)).encode(x, y)]
    if panel.proportional:
        growth = points.assign(y=points["y"].iloc[0] * points["x"] / points["x"].iloc[0])
        layers.insert(0, alt.Chart(growth).mark_line(color="#999999", strokeDash=[4, 4]).encode(x, y))
    title = alt.TitleParams(panel.title, subtitle=panel.unit, anchor="start")
    return alt.layer(*layers).properties(title=title, width=_WIDTH, height=_HEIGHT)
