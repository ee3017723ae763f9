-- Sales by campaign: one row per campaign, and one for the orders without a conversion, so that orders and revenue add up
-- to those of all orders. Revenue is sub_total, without tax and freight, in US dollars.
with sales_orders as (

    select
        conversion_event_id,
        campaign_id,
        campaign_segment,
        campaign_category,
        campaign_strategy,
        customer_id,
        order_date,
        units,
        sub_total
    from {{ ref('int_sales_orders_with_campaign') }}

),

campaigns as (

    select
        case when conversion_event_id is null then 'none' else coalesce(campaign_id, 'unknown') end as campaign,
        campaign_segment,
        campaign_category,
        campaign_strategy,
        count(*) as orders,
        count(distinct customer_id) as customers,
        sum(units) as units,
        sum(sub_total) as revenue,
        min(order_date) as first_order_date,
        max(order_date) as last_order_date
    from sales_orders
    group by campaign, campaign_segment, campaign_category, campaign_strategy

)

select
    campaign,
    campaign_segment,
    campaign_category,
    campaign_strategy,
    orders,
    customers,
    units,
    revenue,
    round(revenue / orders, 2) as revenue_per_order,
    round(revenue / sum(revenue) over (), 4) as share_of_revenue,
    first_order_date,
    last_order_date
from campaigns
order by revenue desc, campaign
