with products as (

    select *
    from {{ ref('base_adventure_db__products') }}
    where sell_end_date is null

)

select
    product_id,
    product_name,
    product_number,
    color,
    standard_cost,
    list_price,
    size,
    size_measure,
    weight,
    weight_measure,
    product_line,
    product_class,
    product_style,
    product_category,
    product_subcategory,
    product_model,
    sell_start_date,
    discontinued_date,
    modified_date
from products
