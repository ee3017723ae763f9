-- Sales page: the cards, these 30 days and the 30 before.
-- What the dashboard asks for it, of the last 30 days and all countries and channels. Made by `make worksheet`, not by
-- hand. Run all of it, as a role that may read what was published (ADVENTURE_READER).
use schema ADVENTURE.DASHBOARD;
set first_day = dateadd('day', -29, to_date(sysdate()));
set end_day = dateadd('day', 1, to_date(sysdate()));
set before_day = dateadd('day', -59, to_date(sysdate()));

select
    cast(coalesce(sum(orders), 0) as bigint) as orders,
    cast(coalesce(sum(units), 0) as bigint) as units,
    coalesce(sum(revenue), 0) as revenue
from sales_by_hour
where order_hour >= $first_day and order_hour < $end_day;

select cast(coalesce(sum(customers), 0) as bigint) as customers
from customers_by_day
where order_day >= $first_day and order_day < $end_day and channel in ('any') and (previous_order_day is null or previous_order_day < $first_day);

select
    cast(coalesce(sum(orders), 0) as bigint) as orders,
    cast(coalesce(sum(units), 0) as bigint) as units,
    coalesce(sum(revenue), 0) as revenue
from sales_by_hour
where order_hour >= $before_day and order_hour < $first_day;

select cast(coalesce(sum(customers), 0) as bigint) as customers
from customers_by_day
where order_day >= $before_day and order_day < $first_day and channel in ('any') and (previous_order_day is null or previous_order_day < $before_day);
