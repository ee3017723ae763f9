"""Query the figures of the support chats from the marts. This module must not import Streamlit."""

from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from adventure.dashboard.sales.over_time import periods
from adventure.dashboard.sales.scope import Grain, Scope
from adventure.destinations.published import Query


@dataclass(frozen=True)
class Chats:
    """Support chats of a scope. A mean without values is None."""

    chats: int
    satisfaction: float | None
    resolution_hours: float | None
    first_response_minutes: float | None


_CHAT_METRICS = """
    cast(coalesce(sum(chats), 0) as bigint) as chats,
    cast(sum(rating_points) as double) / nullif(sum(rated), 0) as satisfaction,
    cast(sum(resolution_minutes) as double) / nullif(sum(resolved), 0) / 60 as resolution_hours,
    cast(sum(first_response_minutes) as double) / nullif(sum(answered), 0) as first_response_minutes
"""


def chats(query: Query, scope: Scope) -> Chats:
    """Return the chats that began in the scope."""
    condition, values = scope.condition("start_day")
    row = query(f"select {_CHAT_METRICS} from support_chats_by_day where {condition}", values).iloc[0]
    means = (row.satisfaction, row.resolution_hours, row.first_response_minutes)
    return Chats(int(row.chats), *(None if pd.isna(mean) else float(mean) for mean in means))


def chats_and_orders(query: Query, scope: Scope, grain: Grain, now: datetime) -> pd.DataFrame:
    """Return orders and chat metrics, one row per day, week or month."""
    grain = "day" if grain == "hour" else grain
    condition, values = scope.condition("start_day")
    found = query(
        f"""
        select cast(date_trunc('{grain}', start_day) as date) as period, {_CHAT_METRICS}
        from support_chats_by_day where {condition} group by 1
        """,
        values,
    ).set_index("period")
    condition, values = scope.condition("order_hour")
    orders = query(
        f"select cast(date_trunc('{grain}', order_hour) as date) as period, cast(sum(orders) as bigint) as orders"
        f" from sales_by_hour where {condition} group by 1",
        values,
    ).set_index("period")
    whole = periods(scope.first, min(scope.last, now.date()), grain)
    both = orders.join(found, how="outer").reindex(whole)
    both[["orders", "chats"]] = both[["orders", "chats"]].fillna(0).astype("int64")
    return both.rename_axis("period").reset_index()
