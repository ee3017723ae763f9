with customers as (

    select customer_id, account_number, full_name, email_address, city, state_province, country_region, territory_id
    from {{ ref('stg_adventure_db__customers') }}

),

first_orders as (

    select customer_id, first_order_date
    from {{ ref('int_customer_first_orders') }}

)

select
    customers.customer_id,
    customers.account_number,
    customers.full_name as customer_name,
    customers.email_address,
    customers.city,
    customers.state_province,
    customers.country_region as country,
    customers.territory_id,
    first_orders.first_order_date
from customers
left join first_orders
    on customers.customer_id = first_orders.customer_id
