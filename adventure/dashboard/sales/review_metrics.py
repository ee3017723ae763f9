"""Query the figures of the reviews from the marts. This module must not import Streamlit."""

from dataclasses import dataclass
from datetime import date, datetime

import pandas as pd

from adventure.dashboard.sales.over_time import periods
from adventure.dashboard.sales.scope import Grain, Scope
from adventure.destinations.published import Query

LEAST_REVIEWS = 3
"""A product with fewer reviews before or now has no rating to compare."""

_SUMS = """
    cast(coalesce(sum(reviews), 0) as bigint) as reviews,
    cast(sum(rating_points) as double) / nullif(sum(reviews), 0) as rating,
    cast(sum(verified_reviews) as double) / nullif(sum(reviews), 0) as verified_share
"""
_FALLING = ["product", "rating", "rating_before", "change", "reviews", "units", "units_before"]
_FALLING_PRODUCTS = """
    with {parts},
    rated as (
        select
            late.product_id,
            cast(late.reviews as bigint) as reviews,
            cast(late.points as double) / late.reviews as rating,
            cast(early.points as double) / early.reviews as rating_before
        from reviews_by_day_now as late
        inner join reviews_by_day_before as early
            on late.product_id = early.product_id
        where late.reviews >= {least:d} and early.reviews >= {least:d}
    )

    select
        coalesce(products.product_name, concat('Product ', rated.product_id)) as product,
        rated.rating,
        rated.rating_before,
        rated.rating - rated.rating_before as change,
        rated.reviews,
        cast(sold.units as bigint) as units,
        cast(coalesce(earlier.units, 0) as bigint) as units_before
    from rated
    inner join product_sales_by_day_now as sold
        on rated.product_id = sold.product_id
    left join product_sales_by_day_before as earlier
        on rated.product_id = earlier.product_id
    left join dim_products as products
        on rated.product_id = products.product_id
    where rated.rating < rated.rating_before
        and sold.units > coalesce(earlier.units, 0)
    order by change, rated.product_id
    limit {limit:d}
"""


@dataclass(frozen=True)
class Reviews:
    """The reviews of a scope. A mean without reviews is None."""

    reviews: int
    rating: float | None
    verified_share: float | None


def total(query: Query, scope: Scope) -> Reviews:
    """Return the reviews that were written in the scope."""
    condition, values = scope.condition("review_day")
    row = query(f"select {_SUMS} from reviews_by_day where {condition}", values).iloc[0]
    means = (row.rating, row.verified_share)
    return Reviews(int(row.reviews), *(None if pd.isna(mean) else float(mean) for mean in means))


def over_time(query: Query, scope: Scope, grain: Grain, now: datetime) -> pd.DataFrame:
    """Return `period`, `reviews`, `rating` and `verified_share`, one row per day, week or month.

    A period without reviews has none, and no rating.
    """
    condition, values = scope.condition("review_day")
    found = query(
        f"""
        select cast(date_trunc('{grain}', review_day) as date) as period, {_SUMS}
        from reviews_by_day where {condition} group by 1
        """,
        values,
    ).set_index("period")
    whole = periods(scope.first, min(scope.last, now.date()), grain)
    complete = found.reindex(whole)
    complete["reviews"] = complete["reviews"].fillna(0).astype("int64")
    return complete.rename_axis("period").reset_index()


def falling_products(
    query: Query, scope: Scope, today: date, earliest: date | None = None, limit: int = 10
) -> pd.DataFrame:
    """Return the products whose rating falls while more units are sold, the largest fall first.

    The columns are product, rating, rating_before, change, reviews, units and units_before. The frame is empty if there
    is nothing to compare with.
    """
    compared = scope.compared(today, earliest)
    if compared is None:
        return pd.DataFrame(columns=_FALLING)
    parts, values = _parts(compared)
    return query(_FALLING_PRODUCTS.format(parts=", ".join(parts), least=LEAST_REVIEWS, limit=limit), values)[_FALLING]


def _parts(compared: tuple[Scope, Scope]) -> tuple[list[str], list[object]]:
    """Return the CTEs of reviews and sold units by product, now and before, and their bound values."""
    parts: list[str] = []
    values: list[object] = []
    for name, each in zip(("now", "before"), compared, strict=True):
        for mart, column, sums in (
            ("reviews_by_day", "review_day", "sum(reviews) as reviews, sum(rating_points) as points"),
            ("product_sales_by_day", "order_day", "sum(units) as units"),
        ):
            condition, bound = each.condition(column)
            values += bound
            parts.append(
                f"{mart}_{name} as (select product_id, {sums} from {mart} where {condition} group by product_id)"
            )
    return parts, values


def newest(query: Query, scope: Scope, limit: int = 10) -> pd.DataFrame:
    """Return the newest reviews of the scope's countries and channels, whatever its days."""
    filters, values = scope.filters()
    return query(
        f"""
        select created_at, rating, product_name, country, is_verified_purchase, title, review_text
        from latest_reviews
        where 1 = 1{filters}
        order by created_at desc, review_id
        limit {limit:d}
        """,
        values,
    )
