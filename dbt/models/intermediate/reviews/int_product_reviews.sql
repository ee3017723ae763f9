with rated as (

    -- A rating that is none of 1 to 5 counts nowhere; a test reports it.
    select
        product_id,
        rating,
        is_verified_purchase,
        created_at,
        created_at >= {{ dbt.dateadd('day', -30, utc_today()) }} as is_recent
    from {{ ref('stg_reviews__reviews') }}
    where rating between 1 and 5
        and product_id is not null

)

select
    product_id,
    cast(count(*) as integer) as reviews,
    cast(avg(cast(rating as decimal(9, 4))) as decimal(9, 4)) as average_rating,
    cast(sum(case when rating <= 2 then 1 else 0 end) as integer) as low_ratings,
    cast(sum(case when is_verified_purchase then 1 else 0 end) as integer) as verified_reviews,
    cast(sum(case when is_recent then 1 else 0 end) as integer) as recent_reviews,
    cast(avg(case when is_recent then cast(rating as decimal(9, 4)) end) as decimal(9, 4)) as recent_rating,
    cast(avg(case when not is_recent then cast(rating as decimal(9, 4)) end) as decimal(9, 4)) as earlier_rating,
    max(created_at) as last_review_at
from rated
group by product_id
