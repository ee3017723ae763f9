with products as (

    select *
    from {{ source('adventure_db', 'product_prod_db') }}
    where productid is not null
    qualify {{ is_latest_row('productid', 'modifieddate') }}

),

-- Some codes are padded with blanks to three characters.
measures as (

    select trim(measure_code) as measure_code, measure_name
    from {{ ref('measures') }}

)

select
    cast(products.productid as varchar) as product_id,
    cast(products.productname as varchar) as product_name,
    cast(products.productnumber as varchar) as product_number,
    cast(products.color as varchar) as color,
    cast(products.standardcost as decimal(38, 9)) as standard_cost,
    cast(products.listprice as decimal(38, 9)) as list_price,
    cast(products.size as varchar) as size,
    cast(size_measures.measure_name as varchar) as size_measure,
    cast(products.weight as decimal(38, 9)) as weight,
    cast(weight_measures.measure_name as varchar) as weight_measure,
    cast(trim(products.productline) as varchar) as product_line,
    cast(trim(products.class) as varchar) as product_class,
    cast(trim(products.style) as varchar) as product_style,
    cast(products.productcategory as varchar) as product_category,
    cast(products.productsubcategory as varchar) as product_subcategory,
    cast(products.productmodel as varchar) as product_model,
    cast(products.sellstartdate as timestamp) as sell_start_date,
    cast(products.sellenddate as timestamp) as sell_end_date,
    cast(products.discontinueddate as timestamp) as discontinued_date,
    cast(products.modifieddate as timestamp) as modified_date
from products
left join measures as size_measures
    on trim(products.sizeunitmeasure) = size_measures.measure_code
left join measures as weight_measures
    on trim(products.weightunitmeasure) = weight_measures.measure_code
