with sales_orders as (

    select *
    from {{ ref('int_sales_orders_with_campaign') }}

),

customers as (

    select customer_id, full_name, country_region
    from {{ ref('stg_adventure_db__customers') }}

),

first_orders as (

    select customer_id, first_sales_order_id
    from {{ ref('int_customer_first_orders') }}

)

select
    sales_orders.sales_order_id,
    sales_orders.sales_order_number,
    sales_orders.customer_id,
    customers.full_name as customer_name,
    coalesce(customers.country_region, 'Unknown') as country,
    case when sales_orders.online_order_flag then 'online' else 'reseller' end as channel,
    case
        when first_orders.first_sales_order_id = sales_orders.sales_order_id then 'first-time'
        else 'repeat'
    end as loyalty,
    sales_orders.campaign_id,
    case
        when sales_orders.conversion_event_id is null then 'none'
        else coalesce(sales_orders.campaign_segment, 'unknown')
    end as campaign_segment,
    sales_orders.territory_id,
    sales_orders.order_date,
    sales_orders.due_date,
    sales_orders.ship_date,
    sales_orders.status,
    sales_orders.units,
    sales_orders.sub_total,
    sales_orders.tax_amt,
    sales_orders.freight,
    sales_orders.total_due,
    sales_orders.modified_date
from sales_orders
left join customers
    on sales_orders.customer_id = customers.customer_id
left join first_orders
    on sales_orders.customer_id = first_orders.customer_id
