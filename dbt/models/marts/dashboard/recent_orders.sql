{{
    config(
        materialized='incremental',
        incremental_strategy='replace',
        unique_key='order_hour',
        on_schema_change='fail',
        meta={'rebuilt_without': 'order_hour'}
    )
}}

{%- set adds = is_incremental() %}

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

dated as (

    select
        sales_orders.*,
        cast({{ dbt.date_trunc('hour', 'sales_orders.order_date') }} as timestamp) as order_hour
    from {{ ref('int_sales_orders_by_segment') }} as sales_orders
    cross join listed
    where sales_orders.order_date >= listed.first_day

),

{% if adds -%}
held_hours as (

    select distinct order_hour from {{ this }}

),

-- The hours in which an order changed, and those of days that are listed now and were not before.
changed_hours as (

    select order_hour
    from dated
    where _loaded_at > {{ high_water_mark() }}

    union

    select order_hour
    from dated
    where is_current
        and order_hour not in (select order_hour from held_hours)

),

{% endif -%}
-- One stamp for all orders of an hour, so that recent_order_lines finds the hours that changed.
stamp as (

    select max(_loaded_at) as _loaded_at
    from {{ ref('int_sales_orders_by_segment') }}

),

sales_orders as (

    select
        sales_order_id,
        customer_id,
        order_hour,
        order_date,
        country,
        channel,
        loyalty,
        campaign_segment,
        units,
        sub_total
    from dated
    where is_current
    {% if adds -%}
        and order_hour in (select order_hour from changed_hours)
    {%- endif %}

),

details as (

    select sales_order_id, sales_order_number, sales_person_id
    from {{ ref('stg_ecom__sales_orders') }}
    {% if adds -%}
    where sales_order_id in (select sales_order_id from sales_orders)
    {%- endif %}

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
    sales_orders.order_hour,
    {{ recency('sales_orders') }} as recency,
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
    ) as search_text,
    stamp._loaded_at
from sales_orders
cross join stamp
left join details
    on sales_orders.sales_order_id = details.sales_order_id
left join customers
    on sales_orders.customer_id = customers.customer_id
left join names
    on sales_orders.sales_order_id = names.sales_order_id
{% if adds %}
union all

-- Hours without listed orders: the strategy `replace` removes them.
select emptied.order_hour, {{ 'null, ' * 15 }}null
from (
    select order_hour from changed_hours
    union
    select held_hours.order_hour
    from held_hours
    cross join listed
    where listed.first_day is null
        or held_hours.order_hour < listed.first_day
) as emptied
where emptied.order_hour not in (select order_hour from sales_orders)
{% else %}
order by recency
{% endif %}
