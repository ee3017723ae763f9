{{
    config(
        materialized='incremental',
        incremental_strategy='replace',
        unique_key='chat_id',
        on_schema_change='fail'
    )
}}

with chats as (

    select *
    from {{ ref('stg_real_time__chat_logs') }}
    {% if is_incremental() %}
    where _loaded_at > {{ high_water_mark() }}
    {% else %}
    where _deleted_at is null
    {% endif %}

),

answers as (

    select
        chats.chat_id,
        min({{ json_timestamp('message.value', 'sent_at') }}) as first_answer_time
    from chats
    {{ flatten_json('chats.messages', 'message') }}
    where {{ json_text('message.value', 'sender') }} = 'agent'
    group by chats.chat_id

)

select
    chats.chat_id,
    chats.sales_order_id,
    chats.customer_id,
    chats.product_id,
    cast(chats.chat_start_time as date) as start_day,
    chats.order_date,
    chats.chat_start_time,
    answers.first_answer_time,
    chats.chat_completion_time,
    {{ minutes_between('chats.chat_start_time', 'answers.first_answer_time') }} as first_response_minutes,
    {{ minutes_between('chats.chat_start_time', 'chats.chat_completion_time') }} as resolution_minutes,
    chats.ticket_channel,
    chats.ticket_type,
    chats.ticket_subject,
    chats.ticket_priority,
    chats.ticket_status,
    chats.customer_satisfaction_rating,
    cast(coalesce({{ json_array_length('chats.messages') }}, 0) as integer) as messages,
    -- Remove deleted chats from the table.
    case when chats._deleted_at is null then chats._loaded_at end as _loaded_at
from chats
left join answers
    on chats.chat_id = answers.chat_id
