select
    product_id,
    product_name,
    list_price,
    product_category,
    product_subcategory
from {{ ref('stg_adventure_db__products') }}
