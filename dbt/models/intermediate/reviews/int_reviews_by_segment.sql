select
    reviews.review_id,
    reviews.product_id,
    reviews.review_day,
    reviews.rating,
    reviews.title,
    reviews.review_text,
    reviews.is_verified_purchase,
    reviews.created_at,
    reviews.edited_at,
    cast(coalesce(orders.country, customers.country_region, 'Unknown') as varchar) as country,
    cast(coalesce(orders.channel, 'none') as varchar) as channel
from {{ ref('fct_reviews') }} as reviews
left join {{ ref('int_sales_orders_by_segment') }} as orders
    on reviews.sales_order_id = orders.sales_order_id
        and orders.is_current
left join {{ ref('stg_adventure_db__customers') }} as customers
    on reviews.customer_id = customers.customer_id
