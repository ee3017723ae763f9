{{
    config(
        materialized='incremental',
        incremental_strategy='replace',
        unique_key='sales_order_id',
        on_schema_change='fail'
    )
}}

with loads as (

    select sales_order_id, _loaded_at from {{ ref('stg_real_time__sales_orders') }}
    union all
    select sales_order_id, _loaded_at from {{ ref('base_ecom__sales_orders') }}

),

changed as (

    select sales_order_id, _loaded_at
    from loads
    {% if is_incremental() %}
    where _loaded_at > {{ high_water_mark() }}
    {% endif %}

),

line_items as (

    select
        sales_order_detail_id,
        sales_order_id,
        customer_id,
        product_id,
        special_offer_id,
        order_date,
        online_order_flag,
        order_qty,
        unit_price,
        unit_price_discount,
        line_total
    from {{ ref('int_sales_order_line_items') }}
    {% if is_incremental() %}
    where sales_order_id in (select sales_order_id from changed)
    {% endif %}

)

select
    line_items.sales_order_detail_id,
    changed.sales_order_id,
    line_items.customer_id,
    line_items.product_id,
    line_items.special_offer_id,
    cast(line_items.order_date as date) as order_day,
    line_items.order_date,
    case when line_items.online_order_flag then 'online' else 'reseller' end as channel,
    line_items.order_qty,
    line_items.unit_price,
    line_items.unit_price_discount,
    line_items.line_total,
    case when line_items.sales_order_detail_id is not null then changed._loaded_at end as _loaded_at
from changed
-- Remove the lines of an order that was deleted or has no line left.
{{ 'left' if is_incremental() else 'inner' }} join line_items
    on changed.sales_order_id = line_items.sales_order_id
