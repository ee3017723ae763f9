-- A table, not an increment: reviews are few, and a deleted one must leave.
select
    reviews.review_id,
    reviews.product_id,
    reviews.customer_id,
    reviews.sales_order_id,
    cast(reviews.created_at as date) as review_day,
    reviews.rating,
    reviews.title,
    reviews.review_text,
    reviews.is_verified_purchase,
    reviews.helpful_votes,
    orders.order_date,
    reviews.created_at,
    reviews.edited_at,
    reviews.last_modified,
    reviews._loaded_at
from {{ ref('stg_reviews__reviews') }} as reviews
left join {{ ref('base_real_time__sales_orders') }} as orders
    on reviews.sales_order_id = orders.sales_order_id
        and orders._deleted_at is null
