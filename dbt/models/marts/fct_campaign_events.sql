select
    event_id,
    cast(event_date as date) as event_day,
    event_date,
    event_type,
    case event_type
        when 'email_opened' then 1
        when 'email_clicked' then 2
        when 'add_to_cart' then 3
        when 'conversion' then 4
    end as funnel_step,
    campaign_id,
    campaign_segment,
    campaign_category,
    campaign_strategy,
    customer_id,
    product_id,
    sales_order_id,
    _loaded_at
from {{ ref('stg_ecom__email_campaigns') }}
