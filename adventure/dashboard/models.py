"""The Models page: one panel for each model that asks for one in the dbt project."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from adventure.core.errors import WarehouseError
from adventure.dashboard import data, format
from adventure.dashboard.colours import colours
from adventure.dashboard.layout import REFRESH_SEC, download, draw, rerun_on_publish, show_empty, show_error, theme
from adventure.dashboard.vega import Spec, amounts, field, tooltip
from adventure.destinations.published import PublishedDataset, Query, Version
from adventure.factory import open_sales

_MOST_ROWS = 5_000


def show(panels: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw the page.

    Args:
        panels: the `panel` of each model's `meta`, by the model's name; see docs/your-own-business.md.
    """
    dataset = open_sales()
    version = dataset.version()
    st.title("Models", anchor=False)
    if version is None:
        return
    _watch(dataset, version)
    query = data.cached_query(dataset, version)
    for model, panel in panels.items():
        with st.container(border=True):
            try:
                _panel(query, model, panel)
            except WarehouseError as error:
                show_error(error)


def show_unbuilt(unbuilt: Mapping[str, str]) -> None:
    """Say why there is no Sales page."""
    st.title("Sales", anchor=False)
    lacks = sorted({table for tables in unbuilt.values() for table in tables.split(", ") if table})
    why = (
        f"nothing is loaded into {', '.join(f'`{table}`' for table in lacks)}"
        if lacks
        else "the dbt project has no models of sales"
    )
    show_empty(f"The Sales page is not available here, because {why}. The Pipeline page shows all streams.")


@st.fragment(run_every=REFRESH_SEC)
def _watch(dataset: PublishedDataset, version: Version) -> None:
    rerun_on_publish((dataset, version))


def _panel(query: Query, model: str, panel: Mapping[str, Any]) -> None:
    texts = query("select name, text from descriptions where model = ?", [model])
    described = dict(zip(texts["name"], texts["text"], strict=True))
    title = str(panel.get("title") or model)
    st.subheader(format.markdown(title), anchor=False, help=format.markdown(described.get("", "")) or None)
    frame = query(f"select * from {model}", [])
    x, measures = str(panel.get("x", "")), _names(panel.get("y"))
    if fault := _fault(frame, x, measures):
        st.warning(f"{format.markdown(fault)}. Correct the panel of the model `{model}`.", icon=":material/warning:")
        return
    if frame.empty:
        show_empty("The model has no rows.")
        return
    rows = frame.sort_values(x).head(_MOST_ROWS)
    draw(st, _chart(rows, x, measures, str(panel.get("chart", "line"))))
    for name in measures:
        if text := described.get(name):
            st.caption(f"**{format.markdown(name)}**: {format.markdown(text)}")
    download(frame, model)


def _fault(frame: pd.DataFrame, x: str, measures: list[str]) -> str:
    """Return what is wrong with a panel; empty if it can be drawn."""
    missing = [name for name in (x, *measures) if name not in frame.columns]
    if not measures:
        return "The panel names no column as y"
    return f"The model has no column {', '.join(missing)}" if missing else ""


def _chart(rows: pd.DataFrame, x: str, measures: list[str], form: str) -> Spec:
    names = dict.fromkeys([x, *measures])
    numbers = {name: pd.to_numeric(rows[name], errors="coerce").astype(float) for name in measures}
    long = rows[list(names)].assign(**numbers).melt(x, measures, "measure", "value")
    is_time = pd.api.types.is_datetime64_any_dtype(rows[x]) or _holds_dates(rows[x])
    if is_time:
        long[x] = pd.to_datetime(long[x])
    # Vega reads dots and brackets in a name as a path.
    long = long.rename(columns={x: "x"})
    at = "x:T" if is_time else "x:N"
    colour = field(
        "measure:N",
        scale={"domain": measures, "range": colours(measures, theme())},
        title=None,
        legend={"orient": "top"} if len(measures) > 1 else None,
    )
    tooltips = [tooltip(at, x), tooltip("measure:N", "Measure"), tooltip("value:Q", "Value", ",.2~f")]
    return {
        "data": long,
        "mark": {"type": "bar"} if form == "bar" else {"type": "line", "point": len(rows) <= 60},
        "encoding": {
            "x": field(at, title=None, sort=None),
            "y": field("value:Q", title=None, axis=amounts(4)),
            "color": colour,
            "tooltip": tooltips,
        },
        "height": 260,
    }


def _holds_dates(values: pd.Series) -> bool:
    return pd.api.types.infer_dtype(values, skipna=True) in ("date", "datetime")


def _names(value: Any) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else [str(value)] if value else []
