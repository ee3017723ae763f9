{{
    config(
        materialized='incremental',
        incremental_strategy='replace',
        unique_key='customer_id',
        on_schema_change='fail'
    )
}}

with sales_orders as (

    select customer_id, order_date, country, channel, is_current, _loaded_at
    from {{ ref('int_sales_orders_by_segment') }}

),

changed as (

    select customer_id, max(_loaded_at) as _loaded_at
    from sales_orders
    {% if is_incremental() %}
    where _loaded_at > {{ high_water_mark() }}
    {% endif %}
    group by customer_id

),

current_orders as (

    select customer_id, cast(order_date as date) as order_day, country, channel
    from sales_orders
    where is_current
        and order_date is not null
    {% if is_incremental() %}
        and customer_id in (select customer_id from changed)
    {% endif %}

),

-- A customer's days with orders, for each channel and for all channels together.
customer_days as (

    select distinct customer_id, order_day, country, channel from current_orders
    union all
    select distinct customer_id, order_day, country, 'any' as channel from current_orders

)

select
    changed.customer_id,
    customer_days.order_day,
    customer_days.country,
    customer_days.channel,
    lag(customer_days.order_day) over (
        partition by customer_days.customer_id, customer_days.channel
        order by customer_days.order_day
    ) as previous_order_day,
    case when customer_days.customer_id is not null then changed._loaded_at end as _loaded_at
from changed
-- Remove customers whose orders were all deleted from the table.
{{ 'left' if is_incremental() else 'inner' }} join customer_days
    on changed.customer_id = customer_days.customer_id
