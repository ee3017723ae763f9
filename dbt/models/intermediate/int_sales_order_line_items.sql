with sales_orders as (

    select sales_order_id, customer_id, online_order_flag, order_date, order_details
    from {{ ref('stg_ecom__sales_orders') }}

)

select
    {{ order_detail('line', 'SalesOrderDetailID') }} as sales_order_detail_id,
    sales_orders.sales_order_id,
    sales_orders.customer_id,
    sales_orders.online_order_flag,
    sales_orders.order_date,
    {{ order_detail('line', 'CarrierTrackingNumber') }} as carrier_tracking_number,
    {{ order_detail('line', 'OrderQty') }} as order_qty,
    {{ order_detail('line', 'ProductID') }} as product_id,
    {{ order_detail('line', 'SpecialOfferID') }} as special_offer_id,
    {{ order_detail('line', 'UnitPrice') }} as unit_price,
    {{ order_detail('line', 'UnitPriceDiscount') }} as unit_price_discount,
    {{ order_detail('line', 'LineTotal') }} as line_total,
    {{ order_detail('line', 'ModifiedDate') }} as modified_date
from sales_orders
{{ flatten_order_details('sales_orders.order_details', 'line') }}
