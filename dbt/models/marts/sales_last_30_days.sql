with sales_orders as (

    select
        {{ dbt.date_trunc('hour', 'order_date') }} as order_hour,
        country,
        channel,
        loyalty,
        campaign_segment,
        units,
        sub_total
    from {{ ref('int_sales_order_with_customers') }}
    where order_date >= {{ dbt.dateadd('day', -59, utc_today()) }}
        and order_date < {{ dbt.dateadd('day', 1, utc_today()) }}

)

select
    cast(order_hour as timestamp) as order_hour,
    cast(country as varchar) as country,
    cast(channel as varchar) as channel,
    cast(loyalty as varchar) as loyalty,
    cast(campaign_segment as varchar) as campaign_segment,
    cast(count(*) as bigint) as orders,
    cast(sum(units) as bigint) as units,
    cast(sum(sub_total) as decimal(38, 9)) as revenue
from sales_orders
group by order_hour, country, channel, loyalty, campaign_segment
