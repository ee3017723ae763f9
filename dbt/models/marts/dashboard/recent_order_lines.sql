{{
    config(
        materialized='incremental',
        incremental_strategy='replace',
        unique_key='order_hour',
        on_schema_change='fail',
        meta={'rebuilt_without': 'order_hour'}
    )
}}

{%- set adds = is_incremental() %}

with recent_orders as (

    select order_hour, recency, sales_order_id, _loaded_at
    from {{ ref('recent_orders') }}

),

{% if adds -%}
held_hours as (

    select distinct order_hour from {{ this }}

),

changed_hours as (

    select order_hour
    from recent_orders
    where _loaded_at > {{ high_water_mark() }}
        or order_hour not in (select order_hour from held_hours)
    group by order_hour

),

{% endif -%}
listed as (

    select *
    from recent_orders
    {% if adds -%}
    where order_hour in (select order_hour from changed_hours)
    {%- endif %}

),

line_items as (

    select
        sales_order_detail_id,
        sales_order_id,
        product_id,
        order_qty,
        unit_price,
        unit_price_discount,
        line_total
    from {{ ref('fct_sales_order_lines') }}

),

products as (

    select product_id, product_name, product_category
    from {{ ref('dim_products') }}

),

lines_of_orders as (

    select
        cast(listed.order_hour as timestamp) as order_hour,
        cast(listed.recency as bigint) as recency,
        cast(line_items.sales_order_detail_id as varchar) as sales_order_detail_id,
        cast(line_items.sales_order_id as varchar) as sales_order_id,
        cast(coalesce(products.product_name, concat('Product ', line_items.product_id)) as varchar) as product,
        cast(coalesce(products.product_category, 'Unknown') as varchar) as product_category,
        cast(line_items.order_qty as integer) as order_qty,
        cast(line_items.unit_price as decimal(38, 9)) as unit_price,
        cast(line_items.unit_price_discount as decimal(38, 9)) as unit_price_discount,
        cast(line_items.line_total as decimal(38, 9)) as line_total,
        listed._loaded_at
    from listed
    inner join line_items
        on listed.sales_order_id = line_items.sales_order_id
    left join products
        on line_items.product_id = products.product_id

)

select * from lines_of_orders
{% if adds %}
union all

-- Hours without lines of listed orders: the strategy `replace` removes them.
select emptied.order_hour, {{ 'null, ' * 9 }}null
from (
    select order_hour from changed_hours
    union
    select order_hour from held_hours where order_hour not in (select order_hour from recent_orders)
) as emptied
where emptied.order_hour not in (select order_hour from lines_of_orders)
{% else %}
order by recency
{% endif %}
