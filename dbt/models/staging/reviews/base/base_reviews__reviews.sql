{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='review_id',
        on_schema_change='fail'
    )
}}

with loaded as (

    select
        {{ json_key('raw', 'id') }} as review_id,
        {{ json_text('raw', 'product_id') }} as product_id,
        {{ json_text('raw', 'customer_id') }} as customer_id,
        {{ json_text('raw', 'order_id') }} as sales_order_id,
        {{ json_whole_number('raw', 'rating') }} as rating,
        {{ json_text('raw', 'title') }} as title,
        {{ json_text('raw', 'text') }} as review_text,
        {{ try_cast(json_text('raw', 'verified_purchase'), 'boolean') }} as is_verified_purchase,
        {{ json_number('raw', 'helpful_votes', 'integer') }} as helpful_votes,
        {{ json_text('raw', 'status') }} as status,
        {{ json_timestamp('raw', 'created_at') }} as created_at,
        {{ json_timestamp('raw', 'edited_at') }} as edited_at,
        {{ json_cursor('raw', 'updated_at') }} as last_modified,
        _file,
        _file_row,
        _loaded_at,
        _deleted_at
    from {{ source('reviews', 'reviews_raw') }}
    {% if is_incremental() %}
    where _loaded_at > {{ high_water_mark() }}
    {% endif %}

),

{{ latest_versions(key='review_id') }}

select *
from latest
{{ in_order_of_loading() }}
