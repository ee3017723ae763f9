-- Sales page: the products that sold most, by revenue.
-- What the dashboard asks for it, of the last 30 days and all countries and channels. Made by `make worksheet`, not by
-- hand. Run all of it, as a role that may read what was published (ADVENTURE_READER).
use schema ADVENTURE.DASHBOARD;
set first_day = dateadd('day', -29, to_date(sysdate()));
set end_day = dateadd('day', 1, to_date(sysdate()));

with sold as (
    select product_id, sum(revenue) as revenue, sum(orders) as orders, sum(units) as units
    from product_sales_by_day
    where order_day >= $first_day and order_day < $end_day
    group by product_id
)

select
    coalesce(products.product_name, concat('Product ', sold.product_id)) as product,
    coalesce(products.product_category, 'Unknown') as category,
    sold.revenue,
    cast(sold.orders as bigint) as orders,
    cast(sold.units as bigint) as units,
    sold.revenue / nullif(sum(sold.revenue) over (), 0) as share
from sold
left join dim_products as products
    on sold.product_id = products.product_id
order by sold.revenue desc, sold.product_id
limit 10;
