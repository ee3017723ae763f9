select
    review_id,
    product_id,
    customer_id,
    sales_order_id,
    rating,
    {{ clean_text('title') }} as title,
    {{ clean_text('review_text') }} as review_text,
    coalesce(is_verified_purchase, false) as is_verified_purchase,
    coalesce(helpful_votes, 0) as helpful_votes,
    created_at,
    edited_at,
    last_modified,
    _loaded_at
from {{ ref('base_reviews__reviews') }}
where _deleted_at is null
    and coalesce(status, '') <> 'deleted'
