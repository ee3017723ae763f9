{{ config(materialized='table') }}

with sales_orders as (

    select sales_order_id, customer_id, order_date
    from {{ ref('stg_ecom__sales_orders') }}

),

first_dates as (

    select customer_id, min(order_date) as first_order_date
    from sales_orders
    group by customer_id

)

-- Among orders of the same time, the one with the smallest id is the first.
select
    first_dates.customer_id,
    first_dates.first_order_date,
    min(sales_orders.sales_order_id) as first_sales_order_id
from first_dates
inner join sales_orders
    on first_dates.customer_id = sales_orders.customer_id
        and first_dates.first_order_date = sales_orders.order_date
group by first_dates.customer_id, first_dates.first_order_date
