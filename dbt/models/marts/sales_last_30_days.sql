-- The hours of sales_by_hour, which holds the same totals for all history and adds up only those that changed.
with totals as (

    select
        order_hour,
        country,
        channel,
        loyalty,
        campaign_segment,
        orders,
        units,
        revenue
    from {{ ref('sales_by_hour') }}

)

select
    cast(order_hour as timestamp) as order_hour,
    cast(country as varchar) as country,
    cast(channel as varchar) as channel,
    cast(loyalty as varchar) as loyalty,
    cast(campaign_segment as varchar) as campaign_segment,
    cast(orders as bigint) as orders,
    cast(units as bigint) as units,
    cast(revenue as decimal(38, 9)) as revenue
from totals
where order_hour >= {{ dbt.dateadd('day', -59, utc_today()) }}
    and order_hour < {{ dbt.dateadd('day', 1, utc_today()) }}
