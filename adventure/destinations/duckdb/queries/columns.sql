-- Validation query 1: the share of orders that have a value, for each column.
-- March 2013 beside the last 30 days, one row each.
-- `adventure check --queries` runs this file and prints the expected figures beside. It also runs as it is in DuckDB's shell.
-- "The last 30 days" is `order_date >= today - 30` in UTC here: 31 dates, today included. The dashboard and `adventure check`
-- show 30 dates, today included.
with periods as (

    select 'March 2013' as period, timestamp '2013-03-01 00:00:00' as since, timestamp '2013-04-01 00:00:00' as until
    union all
    select 'last 30 days', cast(current_timestamp at time zone 'UTC' as date) - 30, timestamp '9999-12-31 00:00:00'

),

sales_orders as (

    select periods.period, orders.*
    from dbt_prod.stg_ecom__sales_orders as orders
    inner join periods on orders.order_date >= periods.since and orders.order_date < periods.until

)

select
    period,
    count(*) as orders,
    round(count(sales_order_id) / count(*), 3) as sales_order_id,
    round(count(customer_id) / count(*), 3) as customer_id,
    round(count(account_number) / count(*), 3) as account_number,
    round(count(bill_to_address_id) / count(*), 3) as bill_to_address_id,
    round(count(comment) / count(*), 3) as comment,
    round(count(credit_card_approval_code) / count(*), 3) as credit_card_approval_code,
    round(count(credit_card_id) / count(*), 3) as credit_card_id,
    round(count(currency_rate_id) / count(*), 3) as currency_rate_id,
    round(count(delivery_estimate_days) / count(*), 3) as delivery_estimate_days,
    round(count(due_date) / count(*), 3) as due_date,
    round(count(freight) / count(*), 3) as freight,
    round(count(modified_date) / count(*), 3) as modified_date,
    round(count(online_order_flag) / count(*), 3) as online_order_flag,
    round(count(order_date) / count(*), 3) as order_date,
    round(count(order_details) / count(*), 3) as order_details,
    round(count(purchase_order_number) / count(*), 3) as purchase_order_number,
    round(count(revision_number) / count(*), 3) as revision_number,
    round(count(sales_order_number) / count(*), 3) as sales_order_number,
    round(count(sales_person_id) / count(*), 3) as sales_person_id,
    round(count(ship_date) / count(*), 3) as ship_date,
    round(count(shipping_method) / count(*), 3) as shipping_method,
    round(count(ship_to_address_id) / count(*), 3) as ship_to_address_id,
    round(count(status) / count(*), 3) as status,
    round(count(sub_total) / count(*), 3) as sub_total,
    round(count(tax_amt) / count(*), 3) as tax_amt,
    round(count(territory_id) / count(*), 3) as territory_id,
    round(count(total_due) / count(*), 3) as total_due
from sales_orders
group by period
order by period desc
