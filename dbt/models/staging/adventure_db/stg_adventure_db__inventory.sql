with inventory as (

    select *
    from {{ source('adventure_db', 'inventory_prod_db') }}

)

select
    cast(productid as varchar) as product_id,
    cast(locationid as varchar) as location_id,
    cast(shelf as varchar) as shelf,
    cast(bin as integer) as bin,
    cast(quantity as integer) as quantity
from inventory
