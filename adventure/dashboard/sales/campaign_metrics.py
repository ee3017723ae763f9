"""Query the figures of the e-mail campaigns from the marts. This module must not import Streamlit."""

from dataclasses import replace
from datetime import date

import pandas as pd

from adventure.dashboard.sales.scope import Scope
from adventure.destinations.published import Query


def campaigns(query: Query, scope: Scope) -> pd.DataFrame:
    """Return the funnel and revenue of each campaign (segment, category, strategy), one row per campaign.

    The scope's channels are ignored: campaigns are e-mails to people, and most lead to no order.
    """
    condition, values = replace(scope, channels=()).condition("event_day")
    found = query(
        f"""
        select
            campaign_segment as segment,
            campaign_category as category,
            campaign_strategy as strategy,
            cast(sum(opened) as bigint) as opened,
            cast(sum(clicked) as bigint) as clicked,
            cast(sum(into_cart) as bigint) as into_cart,
            cast(sum(converted) as bigint) as converted,
            sum(revenue) as revenue
        from campaign_events_by_day
        where {condition}
        group by 1, 2, 3
        order by revenue desc, 1, 2, 3
        """,
        values,
    )
    found["conversion_rate"] = found["converted"] / found["opened"].where(found["opened"] > 0)
    return found


def funnel(campaigns: pd.DataFrame) -> pd.DataFrame:
    """Return `step`, `events` and `share` of the previous step, from opened e-mails to orders, over all campaigns."""
    steps = {"Opened": "opened", "Clicked": "clicked", "Into the cart": "into_cart", "Ordered": "converted"}
    events = [int(campaigns[column].sum()) for column in steps.values()]
    shares = [now / before if before else None for now, before in zip(events[1:], events, strict=False)]
    return pd.DataFrame({"step": list(steps), "events": events, "share": pd.Series([None, *shares], dtype=float)})


def campaign_bounds(query: Query) -> tuple[date, date] | None:
    """Return the first and last day with a campaign event; None without events."""
    row = query("select min(event_day) as first_day, max(event_day) as last_day from campaign_events_by_day", []).iloc[
        0
    ]
    if pd.isna(row.first_day):
        return None
    return pd.Timestamp(row.first_day).date(), pd.Timestamp(row.last_day).date()
