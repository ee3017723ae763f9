"""Vega-Lite specifications as plain dicts, with the shorthands and the style that all charts share. No Streamlit here.

Building and copying Altair's objects takes a third of the server's time of a change on the Sales page. The tests check
every chart that they draw against the schema of Vega-Lite.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from adventure.dashboard.colours import FAINT, Theme

Spec = dict[str, Any]
"""A specification or a part of it. Where Vega-Lite has `data`, it may have a frame."""

_FOOTER_LINE = 14
"""The height of a line below a chart, in pixels."""

_TYPES = {"N": "nominal", "Q": "quantitative", "T": "temporal"}


def field(shorthand: str, **options: Any) -> Spec:
    """Return the encoding of a column.

    Args:
        shorthand: the column and its type, `N`, `Q` or `T`, such as `period:T`.
        options: others of Vega-Lite, such as `title`, `axis` and `scale`.
    """
    name, kind = shorthand.rsplit(":", 1)
    return {"field": name, "type": _TYPES[kind], **options}


def tooltip(shorthand: str, title: str, form: str | None = None) -> Spec:
    """Return a line of a tooltip, with the format of its value."""
    return field(shorthand, title=title, **({"format": form} if form else {}))


def amounts(ticks: int, *, money: bool = False) -> Spec:
    """Return an axis with about `ticks` labels such as `0`, `500`, `1.5k`, `2M`.

    Each label has its own unit and is a whole number. Vega's default format writes `0k` beside `1.5k`, and `500m` for a
    half, which a small axis has in spite of tickMinStep.
    """
    form = "$~s" if money else "~s"
    return {
        "tickCount": ticks,
        "tickMinStep": 1,
        "labelBound": 10,
        "labelExpr": f"datum.value % 1 ? '' : format(datum.value, '{form}')",
    }


def footed(spec: Spec, lines: Sequence[str], theme: Theme) -> Spec:
    """Return the specification with small lines below the chart, which a saved picture needs: it has no page around it.

    They are data, in the first row of the first dataset: with other lines, the browser keeps the drawn chart.

    Args:
        spec: with one dataset or more.
        lines: as many for each version of a chart.
    """
    name, frame = next(iter(spec["datasets"].items()))
    footer = {
        "text": {"expr": f"length(data('{name}')) ? split(data('{name}')[0].footer, '\\n') : ''"},
        "orient": "bottom",
        "anchor": "start",
        "frame": "group",
        "offset": 8,
        "fontSize": 11,
        "fontWeight": "normal",
        "lineHeight": _FOOTER_LINE,
        "color": FAINT[theme],
        "limit": {"expr": "width"},
    }
    data = frame.assign(footer=["\n".join(lines), *[""] * (len(frame) - 1)][: len(frame)])
    taller = {"height": spec["height"] + _FOOTER_LINE * len(lines) + 8} if "height" in spec else {}
    return {**spec, **taller, "title": footer, "datasets": {**spec["datasets"], name: data}}


def named_data(spec: Spec) -> Spec:
    """Return the specification with its frames as named datasets, each of them once.

    The frames in `datasets` keep their names; those in the place of `data` are counted. With the same names, the
    browser keeps a drawn chart in which only the data changed.
    """
    datasets: dict[str, pd.DataFrame] = dict(spec.get("datasets", {}))

    def name(frame: pd.DataFrame) -> str:
        for known, each in datasets.items():
            if each is frame:
                return known
        datasets[f"data-{len(datasets)}"] = frame
        return f"data-{len(datasets) - 1}"

    def named(part: Any) -> Any:
        if isinstance(part, pd.DataFrame):
            return {"name": name(part)}
        if isinstance(part, dict):
            return {key: named(value) for key, value in part.items() if key != "datasets"}
        return [named(each) for each in part] if isinstance(part, list) else part

    return {**named(spec), "datasets": datasets}
