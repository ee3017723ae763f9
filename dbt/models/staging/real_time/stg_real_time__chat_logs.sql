{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='chat_id',
        on_schema_change='fail'
    )
}}

with loaded as (

    select
        {{ json_key('raw', '_id') }} as chat_id,
        {{ without_nan(json_text('raw', 'sales_order_id')) }} as sales_order_id,
        {{ json_text('raw', 'customer_id') }} as customer_id,
        {{ without_nan(json_text('raw', 'product_id')) }} as product_id,
        {{ json_timestamp('raw', 'order_date') }} as order_date,
        {{ json_timestamp('raw', 'chat_start_time') }} as chat_start_time,
        {{ json_timestamp('raw', 'chat_completion_time') }} as chat_completion_time,
        {{ without_nan(json_text('raw', 'ticket_channel')) }} as ticket_channel,
        {{ without_nan(json_text('raw', 'ticket_type')) }} as ticket_type,
        {{ without_nan(json_text('raw', 'ticket_subject')) }} as ticket_subject,
        {{ without_nan(json_text('raw', 'ticket_description')) }} as ticket_description,
        {{ without_nan(json_text('raw', 'ticket_priority')) }} as ticket_priority,
        {{ json_text('raw', 'ticket_status') }} as ticket_status,
        {{ without_nan(json_text('raw', 'resolution')) }} as resolution,
        {{ json_number('raw', 'customer_satisfaction_rating', 'integer') }} as customer_satisfaction_rating,
        {{ json_value('raw', 'messages') }} as messages,
        {{ json_cursor('raw', 'last_modified') }} as last_modified,
        _file,
        _file_row,
        _loaded_at,
        _deleted_at
    from {{ source('raw_ext', 'chat_logs_raw') }}
    {% if is_incremental() %}
    where _loaded_at > {{ high_water_mark() }}
    {% endif %}

),

{{ latest_versions(key='chat_id') }}

select *
from latest
{{ in_order_of_loading() }}
