{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='sales_order_id',
        on_schema_change='fail'
    )
}}

with

{% if is_incremental() %}
-- Rebuild an order when a version or a delete of it or of one of its lines was loaded. New rows are found by their stamp;
-- the older rows are only searched by key, for few keys.
new_orders as (

    select *
    from {{ ref('base_real_time__sales_orders') }}
    where _loaded_at > {{ high_water_mark() }}

),

new_lines as (

    select *
    from {{ ref('base_real_time__order_details') }}
    where _loaded_at > {{ high_water_mark() }}

),

orders_of_new_lines as (

    select sales_order_id from new_lines
    except
    select sales_order_id from new_orders

),

sales_orders as (

    select * from new_orders

    union all

    select *
    from {{ ref('base_real_time__sales_orders') }}
    where sales_order_id in (select sales_order_id from orders_of_new_lines)

),

earlier_lines as (

    select sales_order_detail_id
    from {{ ref('base_real_time__order_details') }}
    where sales_order_id in (select sales_order_id from sales_orders)
        and _loaded_at <= {{ high_water_mark() }}

),

lines as (

    select *, last_modified as modified_date
    from new_lines

    union all

    select *, last_modified as modified_date
    from {{ ref('base_real_time__order_details') }}
    where sales_order_detail_id in (select sales_order_detail_id from earlier_lines)

),

{% else %}
sales_orders as (

    select *
    from {{ ref('base_real_time__sales_orders') }}

),

lines as (

    select *, last_modified as modified_date
    from {{ ref('base_real_time__order_details') }}

),

{% endif %}
nested as (

    select lines.sales_order_id, {{ nest_order_details('lines') }} as order_details
    from lines
    where lines._deleted_at is null
    group by lines.sales_order_id

),

-- A deleted line changes its order, as a new one does.
line_loads as (

    select sales_order_id, max(_loaded_at) as _loaded_at
    from lines
    group by sales_order_id

)

select
    sales_orders.sales_order_id,
    sales_orders.customer_id,
    sales_orders.account_number,
    sales_orders.bill_to_address_id,
    sales_orders.comment,
    sales_orders.credit_card_approval_code,
    sales_orders.credit_card_id,
    sales_orders.currency_rate_id,
    sales_orders.due_date,
    sales_orders.freight,
    sales_orders.last_modified as modified_date,
    sales_orders.online_order_flag,
    sales_orders.order_date,
    nested.order_details,
    sales_orders.purchase_order_number,
    sales_orders.revision_number,
    sales_orders.sales_order_number,
    sales_orders.sales_person_id,
    sales_orders.ship_date,
    sales_orders.ship_method_id,
    sales_orders.ship_to_address_id,
    sales_orders.status,
    sales_orders.sub_total,
    sales_orders.tax_amt,
    sales_orders.territory_id,
    sales_orders.total_due,
    greatest(sales_orders._loaded_at, coalesce(line_loads._loaded_at, sales_orders._loaded_at)) as _loaded_at,
    sales_orders._deleted_at
from sales_orders
left join nested
    on sales_orders.sales_order_id = nested.sales_order_id
left join line_loads
    on sales_orders.sales_order_id = line_loads.sales_order_id
