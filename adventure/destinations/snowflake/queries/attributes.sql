-- Validation query 2: the share of order lines that have a value, for each nested attribute.
-- March 2013 beside the last 30 days, one row each.
-- `adventure check --queries` runs this file and prints the expected figures beside. It also runs as it is in a worksheet.
-- "The last 30 days" is `order_date >= today - 30` in UTC here: 31 dates, today included. The dashboard and `adventure check`
-- show 30 dates, today included.
with periods as (

    select 'March 2013' as period, timestamp '2013-03-01 00:00:00' as since, timestamp '2013-04-01 00:00:00' as until
    union all
    select 'last 30 days', dateadd(day, -30, date_trunc('day', sysdate())), timestamp '9999-12-31 00:00:00'

),

lines as (

    select
        periods.period,
        orders.sales_order_id,
        cast(get(line.value, 'SalesOrderDetailID') as varchar) as sales_order_detail_id,
        cast(get(line.value, 'CarrierTrackingNumber') as varchar) as carrier_tracking_number,
        cast(get(line.value, 'OrderQty') as varchar) as order_qty,
        cast(get(line.value, 'ProductID') as varchar) as product_id,
        cast(get(line.value, 'SpecialOfferID') as varchar) as special_offer_id,
        cast(get(line.value, 'UnitPrice') as varchar) as unit_price,
        cast(get(line.value, 'UnitPriceDiscount') as varchar) as unit_price_discount,
        cast(get(line.value, 'LineTotal') as varchar) as line_total,
        cast(get(line.value, 'ModifiedDate') as varchar) as modified_date
    from dbt_prod.stg_ecom__sales_orders as orders
    inner join periods on orders.order_date >= periods.since and orders.order_date < periods.until
    cross join lateral flatten(input => orders.order_details) as line

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
