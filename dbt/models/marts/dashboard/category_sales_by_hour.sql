{{
    config(
        materialized='incremental',
        incremental_strategy='replace',
        unique_key='order_hour',
        on_schema_change='fail'
    )
}}

with {{ sales_orders_of_changed_periods('hour') }},

line_items as (

    select sales_order_id, product_id, order_qty, line_total
    from {{ ref('fct_sales_order_lines') }}
    {% if is_incremental() %}
    where sales_order_id in (select sales_order_id from sales_orders)
    {% endif %}

),

products as (

    select product_id, product_category
    from {{ ref('dim_products') }}

),

totals as (

    select
        cast(sales_orders.period as timestamp) as order_hour,
        cast(sales_orders.country as varchar) as country,
        cast(sales_orders.channel as varchar) as channel,
        cast(coalesce(products.product_category, 'Unknown') as varchar) as product_category,
        cast(count(distinct sales_orders.sales_order_id) as bigint) as orders,
        cast(sum(line_items.order_qty) as bigint) as units,
        cast(sum(line_items.line_total) as decimal(38, 9)) as revenue,
        max(sales_orders._loaded_at) as _loaded_at
    from sales_orders
    inner join line_items
        on sales_orders.sales_order_id = line_items.sales_order_id
    left join products
        on line_items.product_id = products.product_id
    group by sales_orders.period, sales_orders.country, sales_orders.channel, products.product_category

)

select * from totals
{{ union_emptied_periods('totals', {'name': 'order_hour', 'type': 'timestamp'}, nulls=7) }}
