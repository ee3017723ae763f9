with sales_orders as (

    select
        sales_order_id,
        sales_order_number,
        customer_id,
        territory_id,
        online_order_flag,
        order_date,
        due_date,
        ship_date,
        status,
        order_details,
        sub_total,
        tax_amt,
        freight,
        total_due,
        modified_date
    from {{ ref('stg_ecom__sales_orders') }}

),

-- One at most for an order.
conversions as (

    select
        sales_order_id,
        event_id,
        event_date,
        campaign_id,
        campaign_segment,
        campaign_category,
        campaign_strategy
    from {{ ref('stg_ecom__email_campaigns') }}
    where event_type = 'conversion'

)

select
    sales_orders.*,
    conversions.event_id as conversion_event_id,
    conversions.event_date as converted_at,
    conversions.campaign_id,
    conversions.campaign_segment,
    conversions.campaign_category,
    conversions.campaign_strategy
from sales_orders
left join conversions
    on sales_orders.sales_order_id = conversions.sales_order_id
