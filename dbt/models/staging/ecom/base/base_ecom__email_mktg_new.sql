{{ config(materialized='table') }}

-- The same facts as in the older feed, under other keys, with blanks in campaign ids and event types in any case.
select
    {{ json_text('raw', 'EventID') }} as event_id,
    replace({{ json_text('raw', 'campaign_id') }}, ' ', '') as campaign_id,
    {{ json_text('raw', 'customer_id') }} as customer_id,
    {{ json_text('raw', 'ProductId') }} as product_id,
    {{ json_text('raw', 'orderId') }} as sales_order_id,
    lower({{ json_text('raw', 'eventType') }}) as event_type,
    {{ campaign_event_date(json_text('raw', 'eventDate')) }} as event_date,
    _file,
    _file_row,
    _loaded_at
from {{ source('new_mktg', 'email_mktg_raw') }}
where {{ json_text('raw', 'EventID') }} is not null
