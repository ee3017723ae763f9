-- Sales page: the sparklines of the cards, day by day.
-- What the dashboard asks for it, of the last 30 days and all countries and channels. Made by `make worksheet`, not by
-- hand. Run all of it, as a role that may read what was published (ADVENTURE_READER).
use schema ADVENTURE.DASHBOARD;
set first_day = dateadd('day', -29, to_date(sysdate()));
set end_day = dateadd('day', 1, to_date(sysdate()));

select
    cast(date_trunc('day', order_hour) as date) as period,
    cast(sum(orders) as double) as orders,
    cast(sum(units) as double) as units,
    cast(sum(revenue) as double) as revenue
from sales_by_hour
where order_hour >= $first_day and order_hour < $end_day
group by 1;

select cast(date_trunc('day', order_day) as date) as period, cast(sum(customers) as double) as customers
from customers_by_day
where order_day >= $first_day and order_day < $end_day and channel in ('any')
    and (
        previous_order_day is null
        or previous_order_day < date_trunc('day', order_day)
        or previous_order_day < $first_day
    )
group by 1;
