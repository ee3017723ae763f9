-- Sales page: what e-mail campaigns led to.
-- What the dashboard asks for it, of the last 30 days and all countries and channels. Made by `make worksheet`, not by
-- hand. Run all of it, as a role that may read what was published (ADVENTURE_READER).
use schema ADVENTURE.DASHBOARD;
set first_day = dateadd('day', -29, to_date(sysdate()));
set end_day = dateadd('day', 1, to_date(sysdate()));

select
    campaign_segment as segment,
    campaign_category as category,
    campaign_strategy as strategy,
    cast(sum(opened) as bigint) as opened,
    cast(sum(clicked) as bigint) as clicked,
    cast(sum(into_cart) as bigint) as into_cart,
    cast(sum(converted) as bigint) as converted,
    sum(revenue) as revenue
from campaign_events_by_day
where event_day >= $first_day and event_day < $end_day
group by 1, 2, 3
order by revenue desc, 1, 2, 3;
