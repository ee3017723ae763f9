{{ config(materialized='table') }}

select
    {{ json_text('raw', 'event_id') }} as event_id,
    {{ json_text('raw', 'campaign_id') }} as campaign_id,
    {{ json_text('raw', 'customer_id') }} as customer_id,
    {{ json_text('raw', 'product_id') }} as product_id,
    {{ json_text('raw', 'order_id') }} as sales_order_id,
    {{ json_text('raw', 'event_type') }} as event_type,
    {{ campaign_event_date(json_text('raw', 'event_date')) }} as event_date,
    _file,
    _file_row,
    _loaded_at
from {{ source('old_mktg', 'email_campaign_raw') }}
where {{ json_text('raw', 'event_id') }} is not null
