with listed as (

    select recency, sales_order_id
    from {{ ref('recent_orders') }}

),

line_items as (

    select
        sales_order_detail_id,
        sales_order_id,
        product_id,
        order_qty,
        unit_price,
        unit_price_discount,
        line_total
    from {{ ref('fct_sales_order_lines') }}

),

products as (

    select product_id, product_name, product_category
    from {{ ref('dim_products') }}

)

select
    cast(listed.recency as bigint) as recency,
    cast(line_items.sales_order_detail_id as varchar) as sales_order_detail_id,
    cast(line_items.sales_order_id as varchar) as sales_order_id,
    cast(coalesce(products.product_name, concat('Product ', line_items.product_id)) as varchar) as product,
    cast(coalesce(products.product_category, 'Unknown') as varchar) as product_category,
    cast(line_items.order_qty as integer) as order_qty,
    cast(line_items.unit_price as decimal(38, 9)) as unit_price,
    cast(line_items.unit_price_discount as decimal(38, 9)) as unit_price_discount,
    cast(line_items.line_total as decimal(38, 9)) as line_total
from listed
inner join line_items
    on listed.sales_order_id = line_items.sales_order_id
left join products
    on line_items.product_id = products.product_id
order by listed.recency
