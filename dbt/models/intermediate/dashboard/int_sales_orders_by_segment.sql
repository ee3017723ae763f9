{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='sales_order_id',
        on_schema_change='fail'
    )
}}

-- depends_on: {{ ref('stg_adventure_db__customers') }}
-- depends_on: {{ ref('int_customer_first_orders') }}

with loads as (

    select sales_order_id, _loaded_at from {{ ref('stg_real_time__sales_orders') }}
    union all
    select sales_order_id, _loaded_at from {{ ref('base_ecom__sales_orders') }}

),

{% if is_incremental() %}
customers as (

    select customer_id, country_region
    from {{ ref('stg_adventure_db__customers') }}

),

first_orders as (

    select customer_id, first_sales_order_id
    from {{ ref('int_customer_first_orders') }}

),

-- Orders that changed, and orders that another order or a load of the customers moved to another segment.
changed as (

    select sales_order_id
    from loads
    where _loaded_at > {{ high_water_mark() }}

    union

    -- The table itself and no shared CTE of it, which DuckDB would copy whole.
    select held.sales_order_id
    from {{ this }} as held
    left join customers
        on held.customer_id = customers.customer_id
    left join first_orders
        on held.customer_id = first_orders.customer_id
    where held.is_current
        and (
            held.country != coalesce(customers.country_region, 'Unknown')
            or (held.loyalty = 'first-time')
            != coalesce(held.sales_order_id = first_orders.first_sales_order_id, false)
        )

),
{% endif %}

stamp as (

    select max(_loaded_at) as _loaded_at from loads

),

sales_orders as (

    select
        sales_order_id,
        customer_id,
        order_date,
        country,
        channel,
        loyalty,
        campaign_segment,
        cast(units as bigint) as units,
        sub_total
    from {{ ref('int_sales_order_with_customers') }}
    {% if is_incremental() %}
    where sales_order_id in (select sales_order_id from changed)
    {% endif %}

),

versions as (

    select *, true as is_current
    from sales_orders

    {% if is_incremental() %}
    union all

    -- The previous state of changed orders, so that the marts recompute the periods and segments that they left.
    select
        held.sales_order_id,
        held.customer_id,
        held.order_date,
        held.country,
        held.channel,
        held.loyalty,
        held.campaign_segment,
        held.units,
        held.sub_total,
        false as is_current
    from {{ this }} as held
    left join sales_orders
        on held.sales_order_id = sales_orders.sales_order_id
            and held.order_date = sales_orders.order_date
            and held.customer_id = sales_orders.customer_id
    where held.sales_order_id in (select sales_order_id from changed)
        and sales_orders.sales_order_id is null
    {% endif %}

)

-- One stamp for all rows of this build, later than in every earlier build.
select versions.*, stamp._loaded_at
from versions
cross join stamp
