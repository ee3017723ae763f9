with customer_days as (

    select order_day, previous_order_day, country, channel
    from {{ ref('int_customer_order_days') }}

)

select
    order_day,
    previous_order_day,
    cast(country as varchar) as country,
    cast(channel as varchar) as channel,
    cast(count(*) as bigint) as customers
from customer_days
group by order_day, previous_order_day, country, channel
