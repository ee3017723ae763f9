with product_vendors as (

    select *
    from {{ source('adventure_db', 'product_vendor_prod_db') }}
    where productid is not null
        and vendorid is not null
    qualify {{ is_latest_row('productid, vendorid', 'modifieddate') }}

),

-- Some codes are padded with blanks to three characters.
measures as (

    select trim(measure_code) as measure_code, measure_name
    from {{ ref('measures') }}

)

select
    cast(product_vendors.productid as varchar) as product_id,
    cast(product_vendors.vendorid as varchar) as vendor_id,
    cast(product_vendors.averageleadtime as integer) as average_lead_time_days,
    cast(product_vendors.standardprice as decimal(38, 9)) as standard_price,
    cast(product_vendors.lastreceiptcost as decimal(38, 9)) as last_receipt_cost,
    cast(product_vendors.lastreceiptdate as timestamp) as last_receipt_date,
    cast(product_vendors.minorderqty as integer) as min_order_qty,
    cast(product_vendors.maxorderqty as integer) as max_order_qty,
    cast(product_vendors.onorderqty as integer) as on_order_qty,
    cast(measures.measure_name as varchar) as order_measure,
    cast(product_vendors.modifieddate as timestamp) as modified_date
from product_vendors
left join measures
    on trim(product_vendors.unitmeasurecode) = measures.measure_code
