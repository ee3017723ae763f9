{{
    config(
        materialized='incremental',
        incremental_strategy='replace',
        unique_key='order_hour',
        on_schema_change='fail'
    )
}}

with {{ sales_orders_of_changed_periods('hour') }},

totals as (

    select
        cast(period as timestamp) as order_hour,
        cast(country as varchar) as country,
        cast(channel as varchar) as channel,
        cast(loyalty as varchar) as loyalty,
        cast(campaign_segment as varchar) as campaign_segment,
        cast(count(*) as bigint) as orders,
        cast(sum(units) as bigint) as units,
        cast(sum(sub_total) as decimal(38, 9)) as revenue,
        max(_loaded_at) as _loaded_at
    from sales_orders
    group by period, country, channel, loyalty, campaign_segment

)

select * from totals
{{ union_emptied_periods('totals', {'name': 'order_hour', 'type': 'timestamp'}, nulls=8) }}
