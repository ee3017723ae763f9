with events as (

    select *
    from {{ ref('fct_campaign_events') }}
    where event_day is not null

),

customers as (

    select customer_id, country
    from {{ ref('dim_customers') }}

),

-- The revenue of each order, once.
sales_orders as (

    select sales_order_id, sub_total
    from {{ ref('int_sales_orders_by_segment') }}
    where is_current
        and sales_order_id in (select sales_order_id from events)

)

select
    events.event_day,
    cast(coalesce(customers.country, 'Unknown') as varchar) as country,
    cast(coalesce(events.campaign_segment, 'unknown') as varchar) as campaign_segment,
    cast(coalesce(events.campaign_category, 'unknown') as varchar) as campaign_category,
    cast(coalesce(events.campaign_strategy, 'unknown') as varchar) as campaign_strategy,
    cast(count(case when events.event_type = 'email_opened' then 1 end) as bigint) as opened,
    cast(count(case when events.event_type = 'email_clicked' then 1 end) as bigint) as clicked,
    cast(count(case when events.event_type = 'add_to_cart' then 1 end) as bigint) as into_cart,
    cast(count(case when events.event_type = 'conversion' then 1 end) as bigint) as converted,
    cast(
        coalesce(sum(case when events.event_type = 'conversion' then sales_orders.sub_total end), 0) as decimal(38, 9)
    ) as revenue
from events
left join customers
    on events.customer_id = customers.customer_id
left join sales_orders
    on events.sales_order_id = sales_orders.sales_order_id
group by
    events.event_day,
    customers.country,
    events.campaign_segment,
    events.campaign_category,
    events.campaign_strategy
