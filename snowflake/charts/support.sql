-- Sales page: support chats, in total and beside the orders of each day.
-- What the dashboard asks for it, of the last 30 days and all countries and channels. Made by `make worksheet`, not by
-- hand. Run all of it, as a role that may read what was published (ADVENTURE_READER).
use schema ADVENTURE.DASHBOARD;
set first_day = dateadd('day', -29, to_date(sysdate()));
set end_day = dateadd('day', 1, to_date(sysdate()));

select 
    cast(coalesce(sum(chats), 0) as bigint) as chats,
    cast(sum(rating_points) as double) / nullif(sum(rated), 0) as satisfaction,
    cast(sum(resolution_minutes) as double) / nullif(sum(resolved), 0) / 60 as resolution_hours,
    cast(sum(first_response_minutes) as double) / nullif(sum(answered), 0) as first_response_minutes
 from support_chats_by_day where start_day >= $first_day and start_day < $end_day;

select cast(date_trunc('day', start_day) as date) as period, 
cast(coalesce(sum(chats), 0) as bigint) as chats,
cast(sum(rating_points) as double) / nullif(sum(rated), 0) as satisfaction,
cast(sum(resolution_minutes) as double) / nullif(sum(resolved), 0) / 60 as resolution_hours,
cast(sum(first_response_minutes) as double) / nullif(sum(answered), 0) as first_response_minutes

    from support_chats_by_day where start_day >= $first_day and start_day < $end_day group by 1;

select cast(date_trunc('day', order_hour) as date) as period, cast(sum(orders) as bigint) as orders from sales_by_hour where order_hour >= $first_day and order_hour < $end_day group by 1;
