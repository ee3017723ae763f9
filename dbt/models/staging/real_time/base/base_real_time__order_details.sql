{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='sales_order_detail_id',
        on_schema_change='fail'
    )
}}

with loaded as (

    select
        cast(sales_order_detail_id as varchar) as sales_order_detail_id,
        cast(sales_order_id as varchar) as sales_order_id,
        {{ without_nan('cast(carrier_tracking_number as varchar)') }} as carrier_tracking_number,
        cast(order_qty as integer) as order_qty,
        cast(product_id as varchar) as product_id,
        cast(special_offer_id as varchar) as special_offer_id,
        cast(unit_price as decimal(38, 9)) as unit_price,
        cast(unit_price_discount as decimal(38, 9)) as unit_price_discount,
        cast(line_total as decimal(38, 9)) as line_total,
        cast(last_modified as timestamp) as last_modified,
        _file,
        _file_row,
        _loaded_at,
        _deleted_at
    from {{ source('raw_ext', 'order_details_raw') }}
    {% if is_incremental() %}
    where _loaded_at > {{ high_water_mark() }}
    {% endif %}

),

{{ latest_versions(key='sales_order_detail_id') }}

select *
from latest
{{ in_order_of_loading() }}
