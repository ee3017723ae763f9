-- A table, not an increment: reviews are few, and a deleted one must leave.
with reviews as (

    select * from {{ ref('int_reviews_by_segment') }}

)

select
    review_day,
    product_id,
    country,
    channel,
    cast(count(*) as bigint) as reviews,
    cast(sum(rating) as bigint) as rating_points,
    cast(sum(case when is_verified_purchase then 1 else 0 end) as bigint) as verified_reviews
from reviews
where rating between 1 and 5
    and product_id is not null
    and review_day is not null
group by review_day, product_id, country, channel
