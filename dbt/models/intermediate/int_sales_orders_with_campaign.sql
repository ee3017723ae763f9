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

sales_orders as (

    select *
    from {{ ref('stg_ecom__sales_orders') }}
    {% if is_incremental() %}
    where sales_order_id in (select sales_order_id from changed)
    {% endif %}

),

-- At most one conversion per order.
conversions as (

    select
        sales_order_id,
        event_id,
        event_date,
        campaign_id,
        campaign_segment,
        campaign_category,
        campaign_strategy
    from {{ ref('stg_ecom__email_campaigns') }}
    where event_type = 'conversion'

)

select
    changed.sales_order_id,
    sales_orders.sales_order_number,
    sales_orders.customer_id,
    sales_orders.territory_id,
    sales_orders.online_order_flag,
    sales_orders.order_date,
    sales_orders.due_date,
    sales_orders.ship_date,
    sales_orders.status,
    {{ order_units('sales_orders.order_details') }} as units,
    sales_orders.sub_total,
    sales_orders.tax_amt,
    sales_orders.freight,
    sales_orders.total_due,
    sales_orders.modified_date,
    conversions.event_id as conversion_event_id,
    conversions.event_date as converted_at,
    conversions.campaign_id,
    conversions.campaign_segment,
    conversions.campaign_category,
    conversions.campaign_strategy,
    -- Remove deleted orders from the table.
    case when sales_orders.sales_order_id is not null then changed._loaded_at end as _loaded_at
from changed
{{ 'left' if is_incremental() else 'inner' }} join sales_orders
    on changed.sales_order_id = sales_orders.sales_order_id
left join conversions
    on sales_orders.sales_order_id = conversions.sales_order_id
