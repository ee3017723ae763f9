"""The page. Streamlit runs this file from top to bottom for each visitor and each change of a control."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from adventure.dashboard import PUBLISHED_PATH, STALE_AFTER_SEC, figures, format, published
from adventure.dashboard.charts import sales_chart

PATH = Path(os.environ.get(PUBLISHED_PATH, ".adventure/dashboard.duckdb"))
STALE_AFTER = float(os.environ.get(STALE_AFTER_SEC, "7200"))
LOOK_EVERY_SEC = 5


@st.cache_data(show_spinner=False, max_entries=200)
def cached(_path: Path, identity: tuple[int, int], statement: str, values: tuple[object, ...]) -> pd.DataFrame:
    """An answer, for as long as the publication is the same."""
    return published.query(_path, statement, values)


def main() -> None:
    """The sales of the last 30 days."""
    st.set_page_config(page_title="Adventure sales", page_icon="🚲", layout="wide")
    st.html("<style>.stMainBlockContainer {padding-top: 2.5rem}</style>")
    identity = published.identity(PATH)
    st.title("Sales of the last 30 days")
    if identity is None:
        watch(identity, None)
        st.info(
            "Nothing has been published yet. `adventure tasks run` loads what is staged, builds the models and"
            " publishes; `make demo` does all of it with sales of its own.",
            icon="🕓",
        )
        return

    def query(statement: str, values: Sequence[object]) -> pd.DataFrame:
        return cached(PATH, identity, statement, tuple(values))

    now = datetime.now(UTC).replace(tzinfo=None)
    watch(identity, figures.publication(query))
    headlines(query, now)
    explore(query, now)


@st.fragment(run_every=LOOK_EVERY_SEC)
def watch(identity: tuple[int, int] | None, publication: figures.Publication | None) -> None:
    """Draws the page anew when there is a newer publication; until then, says how old this one has become."""
    if published.identity(PATH) != identity:
        st.rerun(scope="app")
    if publication is not None:
        freshness(publication, datetime.now(UTC).replace(tzinfo=None))


def freshness(publication: figures.Publication, now: datetime) -> None:
    """Up to when the sales were read, and a warning when that is longer ago than it should be."""
    as_of = publication.data_as_of
    if as_of is None:
        return
    st.caption(f"Data as of {as_of:%d %B %Y, %H:%M:%S} UTC ({format.age(as_of, now)}). Days are calendar days in UTC.")
    if (now - publication.built_at).total_seconds() > STALE_AFTER:
        st.warning(
            f"The figures were built {format.age(publication.built_at, now).removesuffix(' old')} ago, longer than"
            " expected: see `adventure status` for the task that failed or does not run.",
            icon="⚠️",
        )


def headlines(query: figures.Query, now: datetime) -> None:
    """The last 30 days against the 30 before."""
    current, before = figures.compared(query, now.date())
    values = [
        ("Revenue", format.money(current.revenue), figures.change(current.revenue, before.revenue),
         "Sum of the orders' sub-totals, without tax and freight."),
        ("Orders", format.count(current.orders), figures.change(current.orders, before.orders),
         "Orders by their order date."),
        ("Average order", format.money(current.average_order),
         figures.change(current.average_order, before.average_order), "Revenue divided by orders."),
        ("Units", format.count(current.units), figures.change(current.units, before.units),
         "Sum of the quantities of all order lines."),
    ]  # fmt: skip
    for column, (label, value, change, text) in zip(st.columns(len(values)), values, strict=True):
        compared = "Compared with the 30 days before." if change is not None else "There is nothing before to compare."
        column.metric(label, value, format.percent(change), help=f"{text} {compared}", border=True)


def explore(query: figures.Query, now: datetime) -> None:
    """The chart with its controls, whose state is in the URL, and the numbers under it."""
    left, middle, right = st.columns([2, 2, 2])
    measure: Any = choice(left, "Measure", "measure", figures.MEASURES)
    segment: Any = choice(middle, "One line for each", "segment", figures.SEGMENTS)
    period = choice(right, "Period", "period", {name: name for name in figures.PERIODS})
    days = figures.PERIODS[period]
    rows = figures.series(query, segment, measure, now.date(), days)
    if rows.empty:
        st.info(
            f"There are no sales within the last {days} days. If there should be, `adventure status` tells how far"
            " each stream is.",
            icon="🕓",
        )
        return
    grain = figures.grain_of(days)
    st.altair_chart(sales_chart(rows, measure, grain, now.date()), width="stretch")
    wide = figures.table(rows)
    with st.expander(
        f"The numbers: {figures.MEASURES[measure].lower()} by {grain} and {figures.SEGMENTS[segment].lower()}"
    ):
        shown = wide.astype(float)
        shown.index = pd.DatetimeIndex(shown.index).strftime("%Y-%m-%d %H:%M" if grain == "hour" else "%Y-%m-%d")
        number = "dollar" if measure == "revenue" else "localized"
        st.dataframe(
            shown, column_config={name: st.column_config.NumberColumn(format=number) for name in shown.columns}
        )
        name = f"{measure}-by-{segment}-{now:%Y-%m-%d}.csv"
        st.download_button("Download as CSV", wide.to_csv().encode(), name, "text/csv", icon=":material/download:")


def choice(place: Any, label: str, name: str, options: dict[Any, str]) -> str:
    """A choice that the URL keeps, so that a view can be shared; what the URL says wrongly is the default."""
    keys = list(options)
    asked = st.query_params.get(name)
    if name not in st.session_state:
        st.session_state[name] = asked if asked in keys else keys[0]
    chosen = str(place.radio(label, keys, format_func=lambda key: options[key], key=name, horizontal=True))
    st.query_params[name] = chosen
    return chosen


main()
