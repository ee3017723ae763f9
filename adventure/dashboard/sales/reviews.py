"""The panels of the reviews, where there is a stream of reviews."""

from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from adventure.dashboard import format
from adventure.dashboard.colours import Theme, colours
from adventure.dashboard.layout import draw, folded, show_empty, table, texts, theme
from adventure.dashboard.sales import charts, review_metrics
from adventure.dashboard.sales.panel import Panel
from adventure.dashboard.sales.scope import Grain, grain_in_days
from adventure.dashboard.vega import Spec, amounts, field, tooltip

_MART = "reviews_by_day"
_STARS = "%.2f"


def show(panel: Panel) -> None:
    """Draw the panels; nothing if no reviews are published."""
    if not panel.description(_MART, ""):
        return
    with st.container(border=True, key="screen-reviews"):
        over_time(panel)
    with st.container(border=True, key="screen-falling"):
        falling(panel)
    with st.container(border=True, key="screen-newest-reviews"):
        newest(panel)


def over_time(panel: Panel) -> None:
    """Draw the number of reviews, their mean rating and the share of verified ones, and both over time."""
    st.subheader("Reviews", anchor=False, help=panel.description(_MART, ""))
    total = review_metrics.total(panel.query, panel.scope)
    if not total.reviews:
        show_empty("No review was written in this period for the chosen countries and channels.")
        return
    grain = grain_in_days(panel.scope.days)
    rows = review_metrics.over_time(panel.query, panel.scope, grain, panel.now)
    rating, verified = _changes(panel)
    cards = [
        ("Reviews", format.count(total.reviews), None, "reviews"),
        ("Mean rating, 1 to 5", format.decimal(total.rating, 2), rating, "rating"),
        ("Verified", _percent(total.verified_share), verified, "verified_share"),
    ]
    for place, (label, value, delta, name) in zip(st.columns(3, gap="small"), cards, strict=True):
        place.metric(label, value, delta, help=panel.description(_MART, name), border=True)
    st.caption(
        "A review without an order has no channel: it counts where no channel is chosen."
        if panel.scope.channels
        else "By the day on which a review was written. Deleted reviews are left out."
    )
    title = "Mean rating and number of reviews"
    draw(st, panel.footed(review_chart(rows, grain, panel.now, theme(), title), title, panel.scope.in_utc()))
    if charts.is_running(rows["period"].max(), grain, panel.now):
        st.caption(f"The pale bar is {charts.RUNNING[grain]}.")
    folded("reviews", lambda: _table(panel, rows, grain))


def _table(panel: Panel, rows: pd.DataFrame, grain: Grain) -> None:
    exact = rows.assign(period=rows["period"].dt.strftime("%Y-%m-%d")).iloc[::-1]
    shown = exact.assign(verified_share=100 * exact["verified_share"])
    columns: dict[str, Any] = {
        "period": st.column_config.TextColumn("Period (UTC)"),
        "reviews": st.column_config.NumberColumn("Reviews", format="localized"),
        "rating": st.column_config.NumberColumn("Mean rating", format=_STARS),
        "verified_share": st.column_config.NumberColumn("Verified", format="%.1f%%"),
    }
    name = f"reviews-by-{grain}"
    table(shown, name, exact=exact, columns=columns, file=panel.file(name))


def falling(panel: Panel) -> None:
    """Draw the products whose rating falls while their sales rise."""
    st.subheader("Rating falls, sales rise", anchor=False, help=panel.description(_MART, "falling"))
    if panel.compared() is None:
        show_empty("There is nothing before this period to compare with. Choose a shorter or later period.")
        return
    rows = review_metrics.falling_products(panel.query, panel.scope, panel.today, panel.earliest)
    if rows.empty:
        show_empty(
            f"No product with {review_metrics.LEAST_REVIEWS} reviews or more in both periods sold more units with a"
            " lower rating."
        )
        return
    number = st.column_config.NumberColumn
    columns: dict[str, Any] = {
        "product": st.column_config.TextColumn("Product", width=165),
        "rating": number("Rating", format=_STARS),
        "rating_before": number("Before", format=_STARS),
        "change": number("Change", format="%+.2f"),
        "reviews": number("Reviews", format="localized"),
        "units": number("Units", format="localized"),
        "units_before": number("Units before", format="localized"),
    }
    name = "falling-ratings"
    table(rows, name, columns=columns, file=panel.file(name))


def newest(panel: Panel) -> None:
    """Draw the newest reviews with their texts, which may be any text: the table escapes them."""
    st.subheader("Newest reviews", anchor=False)
    rows = review_metrics.newest(panel.query, panel.scope)
    if rows.empty:
        show_empty("There is no review for the chosen countries and channels.")
        return
    shown = pd.DataFrame(
        {
            "written": [f"{value:%Y-%m-%d %H:%M}" for value in rows["created_at"]],
            "rating": ["–" if pd.isna(value) else _stars(int(value)) for value in rows["rating"]],
            "product": rows["product_name"],
            "country": rows["country"],
            "verified": ["yes" if value else "no" for value in rows["is_verified_purchase"]],
            "title": rows["title"],
            "text": rows["review_text"],
        }
    )
    headers = {str(name): str(name).capitalize() for name in shown} | {"written": "Written (UTC)"}
    name = "newest-reviews"
    exact = shown.assign(rating=rows["rating"]).rename(columns={"written": "Written (UTC)"})
    file = panel.file_of_today(name)
    texts(shown, name, headers=headers, label="newest reviews", below=("title", "text"), exact=exact, file=file)
    st.caption("For the chosen countries and channels, whatever the period.")


def review_chart(rows: pd.DataFrame, grain: Grain, now: datetime, theme: Theme, title: str) -> Spec:
    """Return the mean rating above and the number of reviews below, on a shared time axis."""
    blue, orange = colours(["orders", "order_details"], theme)
    tooltips = [
        tooltip("when:N", "When"),
        tooltip("rating:Q", "Mean rating", ".2f"),
        tooltip("reviews:Q", "Reviews", ",d"),
        tooltip("verified_share:Q", "Verified", ".1%"),
    ]
    point = {"color": blue, "filled": True, "size": 25}
    rating = {
        "mark": {"type": "line", "color": blue, "strokeWidth": 2.2, "point": point},
        "encoding": {
            "x": charts.time_axis(labels=False),
            "y": field("rating:Q", title="Rating", scale={"domain": [1, 5]}, axis={"values": [1, 2, 3, 4, 5]}),
            "tooltip": tooltips,
        },
    }
    volume = {
        "mark": {"type": "bar", "color": orange},
        "encoding": {
            "fillOpacity": {"value": 1, "condition": {"test": "datum.running", "value": 0.35}},
            "x": charts.time_axis(),
            "y": field("reviews:Q", title="Reviews", axis=amounts(3)),
            "tooltip": tooltips,
        },
    }
    return charts.stacked(rows, rating, volume, grain, now, title)


def _changes(panel: Panel) -> tuple[str | None, str | None]:
    """Return the changes of rating and share, between the days that the headlines compare."""
    compared = panel.compared()
    if compared is None:
        return None, None
    now, before = (review_metrics.total(panel.query, scope) for scope in compared)
    rating = None if now.rating is None or before.rating is None else f"{now.rating - before.rating:+.2f}"
    if now.verified_share is None or before.verified_share is None:
        return rating, None
    return rating, f"{100 * (now.verified_share - before.verified_share):+.1f} points"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _stars(rating: int) -> str:
    """Return `★★★★☆ 4`; a number out of range alone."""
    return f"{'★' * rating}{'☆' * (5 - rating)} {rating}" if 1 <= rating <= 5 else str(rating)
