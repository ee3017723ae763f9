{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='sales_order_id',
        on_schema_change='fail',
        meta={'rebuilt_without': '_order_loaded_at'}
    )
}}

with

{% if is_incremental() %}
{%- set lines_mark = high_water_mark('_lines_loaded_at') %}
-- Rebuild an order when a version or a delete of it or of one of its lines was loaded, or a line has left it. New rows are
-- found by their stamp; the older rows are only searched by key, for few keys. A load may end between the builds of the two
-- base models, so each has a mark of its own.
new_orders as (

    select *
    from {{ ref('base_real_time__sales_orders') }}
    where _loaded_at > {{ high_water_mark('_order_loaded_at') }}

),

new_lines as (

    select *
    from {{ ref('base_real_time__order_details') }}
    where _loaded_at > {{ lines_mark }}

),

-- Orders that an earlier version of a new line names. The raw table has every version, also those between two builds.
left_orders as (

    select
        cast(versions.sales_order_id as varchar) as sales_order_id,
        max(new_lines._loaded_at) as _loaded_at
    from {{ source('raw_ext', 'order_details_raw') }} as versions
    inner join new_lines
        on cast(versions.sales_order_detail_id as varchar) = new_lines.sales_order_detail_id
    where cast(versions.sales_order_id as varchar) != coalesce(new_lines.sales_order_id, '')
    group by 1

),

orders_of_new_lines as (

    (select sales_order_id from new_lines union select sales_order_id from left_orders)
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
        and _loaded_at <= {{ lines_mark }}

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

-- A line that was deleted or has left changes its order, as a new one does.
line_loads as (

    select sales_order_id, max(_loaded_at) as _loaded_at
    from (
        select sales_order_id, _loaded_at from lines
        {% if is_incremental() -%}
        union all
        select sales_order_id, _loaded_at from left_orders
        {%- endif %}
    ) as loads
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
    sales_orders._loaded_at as _order_loaded_at,
    line_loads._loaded_at as _lines_loaded_at,
    -- Later than all rows of earlier builds, by which the next models find what is new: all orders, where this table is made
    -- again because an earlier version of the model has left it.
    greatest(
        sales_orders._loaded_at,
        coalesce(line_loads._loaded_at, sales_orders._loaded_at)
        {%- if is_incremental() or (should_full_refresh() and not flags.FULL_REFRESH) %},
        {{ dbt.dateadd('microsecond', 1, high_water_mark()) }}
        {%- endif %}
    ) as _loaded_at,
    sales_orders._deleted_at
from sales_orders
left join nested
    on sales_orders.sales_order_id = nested.sales_order_id
left join line_loads
    on sales_orders.sales_order_id = line_loads.sales_order_id
