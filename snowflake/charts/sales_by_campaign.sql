-- Sales page: revenue by day and campaign segment. For orders or units, sum those.
-- What the dashboard asks for it, of the last 30 days and all countries and channels. Made by `make worksheet`, not by
-- hand. Run all of it, as a role that may read what was published (ADVENTURE_READER).
use schema ADVENTURE.DASHBOARD;
set first_day = dateadd('day', -29, to_date(sysdate()));
set end_day = dateadd('day', 1, to_date(sysdate()));

select
    cast(date_trunc('day', order_hour) as timestamp) as period,
    campaign_segment as segment,
    sum(revenue) as value
from sales_by_hour
where order_hour >= $first_day and order_hour < $end_day
group by 1, 2;
