with order_counts as (

    select
        cast({{ dbt.date_trunc('day', 'order_hour') }} as date) as order_day,
        sum(orders) as orders
    from {{ ref('sales_by_hour') }}
    group by 1

),

counted_back as (

    select
        order_day,
        orders,
        sum(orders) over (order by order_day desc rows between unbounded preceding and current row) as orders_since
    from order_counts

),

-- Whole days only, so that the figures of a listed day are complete. The latest day is always listed.
listed as (

    select min(order_day) as first_day
    from counted_back
    where orders_since <= {{ var('recent_orders') }}
        or orders_since = orders

),

sales_orders as (

    select
        sales_orders.sales_order_id,
        sales_orders.customer_id,
        sales_orders.order_date,
        sales_orders.country,
        sales_orders.channel,
        sales_orders.loyalty,
        sales_orders.campaign_segment,
        sales_orders.units,
        sales_orders.sub_total
    from {{ ref('int_sales_orders_by_segment') }} as sales_orders
    cross join listed
    where sales_orders.is_current
        and sales_orders.order_date >= listed.first_day

),

details as (

    select sales_order_id, sales_order_number, sales_person_id
    from {{ ref('stg_ecom__sales_orders') }}

),

customers as (

    select customer_id, full_name, state_province
    from {{ ref('stg_adventure_db__customers') }}

),

line_items as (

    select sales_order_id, product_id
    from {{ ref('fct_sales_order_lines') }}

),

products as (

    select product_id, product_name
    from {{ ref('dim_products') }}

),

-- The names of each order's products, so that a search reads one column of one table.
sold as (

    select distinct
        line_items.sales_order_id,
        coalesce(products.product_name, concat('Product ', line_items.product_id)) as product
    from line_items
    inner join sales_orders
        on line_items.sales_order_id = sales_orders.sales_order_id
    left join products
        on line_items.product_id = products.product_id

),

names as (

    select
        sales_order_id,
        {{ dbt.listagg('product', "'\n'", 'order by product') }} as products
    from sold
    group by sales_order_id

)

select
    cast(
        row_number() over (order by sales_orders.order_date desc, sales_orders.sales_order_id) as bigint
    ) as recency,
    cast(sales_orders.sales_order_id as varchar) as sales_order_id,
    cast(coalesce(details.sales_order_number, sales_orders.sales_order_id) as varchar) as sales_order_number,
    cast(sales_orders.order_date as timestamp) as order_date,
    cast(coalesce(sales_orders.customer_id, 'Unknown') as varchar) as customer_id,
    cast(coalesce(customers.full_name, 'Unknown') as varchar) as customer_name,
    cast(sales_orders.country as varchar) as country,
    cast(coalesce(customers.state_province, 'Unknown') as varchar) as state_province,
    cast(sales_orders.channel as varchar) as channel,
    cast(
        case
            when details.sales_person_id is null then 'No salesperson'
            else concat('Salesperson ', details.sales_person_id)
        end as varchar
    ) as salesperson,
    cast(sales_orders.loyalty as varchar) as loyalty,
    cast(sales_orders.campaign_segment as varchar) as campaign_segment,
    cast(sales_orders.units as bigint) as units,
    cast(sales_orders.sub_total as decimal(38, 9)) as revenue,
    cast(
        lower(
            concat(
                coalesce(details.sales_order_number, sales_orders.sales_order_id),
                '{{ "\n" }}',
                coalesce(customers.full_name, 'Unknown'),
                '{{ "\n" }}',
                coalesce(names.products, '')
            )
        ) as varchar
    ) as search_text
from sales_orders
left join details
    on sales_orders.sales_order_id = details.sales_order_id
left join customers
    on sales_orders.customer_id = customers.customer_id
left join names
    on sales_orders.sales_order_id = names.sales_order_id
order by recency
