-- The newest of each country and channel contain the newest of any of them.
with ranked as (

    select
        *,
        row_number() over (partition by country, channel order by created_at desc, review_id) as place
    from {{ ref('int_reviews_by_segment') }}
    where created_at is not null

)

select
    ranked.review_id,
    ranked.created_at,
    ranked.country,
    ranked.channel,
    cast(coalesce(products.product_name, concat('Product ', ranked.product_id)) as varchar) as product_name,
    ranked.rating,
    ranked.title,
    ranked.review_text,
    ranked.is_verified_purchase,
    ranked.edited_at
from ranked
left join {{ ref('dim_products') }} as products
    on ranked.product_id = products.product_id
where ranked.place <= 10
