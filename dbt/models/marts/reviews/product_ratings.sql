select
    products.product_id,
    products.product_name,
    products.product_category,
    products.list_price,
    coalesce(reviews.reviews, 0) as reviews,
    reviews.average_rating,
    coalesce(reviews.low_ratings, 0) as low_ratings,
    coalesce(reviews.verified_reviews, 0) as verified_reviews,
    coalesce(reviews.recent_reviews, 0) as recent_reviews,
    reviews.recent_rating,
    reviews.earlier_rating,
    reviews.last_review_at
from {{ ref('dim_products') }} as products
left join {{ ref('int_product_reviews') }} as reviews
    on products.product_id = reviews.product_id
