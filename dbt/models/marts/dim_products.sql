select
    product_id,
    product_name,
    product_number,
    product_category,
    product_subcategory,
    product_model,
    product_line,
    color,
    size,
    size_measure,
    weight,
    weight_measure,
    standard_cost,
    list_price,
    sell_start_date,
    sell_end_date,
    sell_end_date is null as is_sold
from {{ ref('base_adventure_db__products') }}
