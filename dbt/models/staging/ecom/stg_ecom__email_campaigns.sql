{{ config(materialized='table') }}

with events as (

    select *, 1 as feed
    from {{ ref('base_ecom__email_campaigns') }}

    union all

    select *, 2 as feed
    from {{ ref('base_ecom__email_mktg_new') }}

),

-- Deduplicate events: the newer feed replaced the older one, and within a feed the last report is a correction.
distinct_events as (

    select *
    from events
    qualify row_number() over (partition by event_id order by feed desc, _file desc, _file_row desc) = 1

),

-- Keep only the earliest conversion of an order: later ones report it again. Handle events without an order separately:
-- they would be a single partition, of which only one event would be kept.
repeated_conversions as (

    select event_id
    from distinct_events
    where event_type = 'conversion'
        and sales_order_id is not null
    qualify row_number() over (
        partition by sales_order_id
        order by event_date asc nulls last, length(event_id), event_id
    ) > 1

)

select
    event_id,
    campaign_id,
    {{ campaign_part('campaign_id', 1) }} as campaign_segment,
    {{ campaign_part('campaign_id', 2) }} as campaign_category,
    {{ campaign_part('campaign_id', 3) }} as campaign_strategy,
    event_type,
    event_date,
    customer_id,
    product_id,
    sales_order_id,
    _loaded_at
from distinct_events
where event_id not in (select event_id from repeated_conversions)
