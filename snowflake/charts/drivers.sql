-- Sales page: what drives the change in revenue, by country: now, and before.
-- What the dashboard asks for it, of the last 30 days and all countries and channels. Made by `make worksheet`, not by
-- hand. Run all of it, as a role that may read what was published (ADVENTURE_READER).
use schema ADVENTURE.DASHBOARD;
set first_day = dateadd('day', -29, to_date(sysdate()));
set end_day = dateadd('day', 1, to_date(sysdate()));
set before_day = dateadd('day', -59, to_date(sysdate()));

select country as segment, sum(revenue) as value from sales_by_hour where order_hour >= $first_day and order_hour < $end_day group by 1;

select country as segment, sum(revenue) as value from sales_by_hour where order_hour >= $before_day and order_hour < $first_day group by 1;
