with products as (

    select *
    from {{ source('adventure_db', 'product_prod_db') }}

)

select
    cast(productid as varchar) as product_id,
    cast(productname as varchar) as product_name,
    cast(listprice as decimal(38, 9)) as list_price,
    cast(productcategory as varchar) as product_category,
    cast(productsubcategory as varchar) as product_subcategory
from products
