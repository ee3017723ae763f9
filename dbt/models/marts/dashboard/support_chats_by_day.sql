with chats as (

    select
        sales_order_id,
        start_day,
        customer_satisfaction_rating,
        first_response_minutes,
        resolution_minutes
    from {{ ref('fct_support_chats') }}
    where start_day is not null

),

sales_orders as (

    select sales_order_id, country, channel
    from {{ ref('int_sales_orders_by_segment') }}
    where is_current

)

select
    chats.start_day,
    cast(coalesce(sales_orders.country, 'Unknown') as varchar) as country,
    cast(coalesce(sales_orders.channel, 'unknown') as varchar) as channel,
    cast(count(*) as bigint) as chats,
    cast(count(chats.resolution_minutes) as bigint) as resolved,
    cast(coalesce(sum(chats.resolution_minutes), 0) as bigint) as resolution_minutes,
    cast(count(chats.first_response_minutes) as bigint) as answered,
    cast(coalesce(sum(chats.first_response_minutes), 0) as bigint) as first_response_minutes,
    cast(count(chats.customer_satisfaction_rating) as bigint) as rated,
    cast(coalesce(sum(chats.customer_satisfaction_rating), 0) as bigint) as rating_points
from chats
left join sales_orders
    on chats.sales_order_id = sales_orders.sales_order_id
group by chats.start_day, sales_orders.country, sales_orders.channel
