-- Validation query 2: the share of order lines that have a value, for each nested attribute.
-- March 2013 beside the last 30 days, one row each.
-- `adventure check --queries` runs this file and prints the expected figures beside. It also runs as it is in DuckDB's shell.
-- "The last 30 days" is `order_date >= today - 30` in UTC here: 31 dates, today included. The dashboard and `adventure check`
-- show 30 dates, today included.
with periods as (

    select 'March 2013' as period, timestamp '2013-03-01 00:00:00' as since, timestamp '2013-04-01 00:00:00' as until
    union all
    select 'last 30 days', cast(current_timestamp at time zone 'UTC' as date) - 30, timestamp '9999-12-31 00:00:00'

),

lines as (

    select
        periods.period,
        orders.sales_order_id,
        line.value."SalesOrderDetailID" as sales_order_detail_id,
        line.value."CarrierTrackingNumber" as carrier_tracking_number,
        line.value."OrderQty" as order_qty,
        line.value."ProductID" as product_id,
        line.value."SpecialOfferID" as special_offer_id,
        line.value."UnitPrice" as unit_price,
        line.value."UnitPriceDiscount" as unit_price_discount,
        line.value."LineTotal" as line_total,
        line.value."ModifiedDate" as modified_date
    from dbt_prod.stg_ecom__sales_orders as orders
    inner join periods on orders.order_date >= periods.since and orders.order_date < periods.until
    cross join unnest(orders.order_details) as line (value)

)

select
    period,
    count(distinct sales_order_id) as orders,
    count(*) as lines,
    round(count(*) / count(distinct sales_order_id), 3) as lines_per_order,
    round(count(sales_order_detail_id) / count(*), 3) as sales_order_detail_id,
    round(count(carrier_tracking_number) / count(*), 3) as carrier_tracking_number,
    round(count(order_qty) / count(*), 3) as order_qty,
    round(count(product_id) / count(*), 3) as product_id,
    round(count(special_offer_id) / count(*), 3) as special_offer_id,
    round(count(unit_price) / count(*), 3) as unit_price,
    round(count(unit_price_discount) / count(*), 3) as unit_price_discount,
    round(count(line_total) / count(*), 3) as line_total,
    round(count(modified_date) / count(*), 3) as modified_date
from lines
group by period
order by period desc
