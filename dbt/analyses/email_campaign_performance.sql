-- The funnel from opened e-mail to order: for all campaigns, for each segment, category and strategy, and for each
-- campaign. `level` names the kind of row; NULL in a column means all of its values.
-- The funnel counts events: an e-mail opened twice counts twice. A rate is a step's events divided by those of the step
-- before. Revenue is the sub_total of the converted orders, in US dollars.
with events as (

    select event_id, campaign_segment, campaign_category, campaign_strategy, event_type
    from {{ ref('fct_campaign_events') }}

),

sales_orders as (

    select conversion_event_id, sub_total
    from {{ ref('int_sales_orders_with_campaign') }}
    where conversion_event_id is not null

),

funnel as (

    select
        case grouping(events.campaign_segment, events.campaign_category, events.campaign_strategy)
            when 0 then 'campaign'
            when 3 then 'segment'
            when 5 then 'category'
            when 6 then 'strategy'
            when 7 then 'all'
        end as level,
        events.campaign_segment,
        events.campaign_category,
        events.campaign_strategy,
        sum(case when events.event_type = 'email_opened' then 1 else 0 end) as emails_opened,
        sum(case when events.event_type = 'email_clicked' then 1 else 0 end) as emails_clicked,
        sum(case when events.event_type = 'add_to_cart' then 1 else 0 end) as carts,
        sum(case when events.event_type = 'conversion' then 1 else 0 end) as conversions,
        coalesce(sum(sales_orders.sub_total), 0) as revenue
    from events
    left join sales_orders
        on events.event_id = sales_orders.conversion_event_id
    group by grouping sets (
        (),
        (events.campaign_segment),
        (events.campaign_category),
        (events.campaign_strategy),
        (events.campaign_segment, events.campaign_category, events.campaign_strategy)
    )

)

select
    level,
    campaign_segment,
    campaign_category,
    campaign_strategy,
    emails_opened,
    emails_clicked,
    carts,
    conversions,
    round(emails_clicked / nullif(emails_opened, 0), 4) as click_rate,
    round(carts / nullif(emails_clicked, 0), 4) as cart_rate,
    round(conversions / nullif(carts, 0), 4) as order_rate,
    round(conversions / nullif(emails_opened, 0), 4) as conversion_rate,
    revenue,
    round(revenue / nullif(conversions, 0), 2) as revenue_per_conversion
from funnel
order by
    case level when 'all' then 1 when 'segment' then 2 when 'category' then 3 when 'strategy' then 4 else 5 end,
    campaign_segment,
    campaign_category,
    campaign_strategy
