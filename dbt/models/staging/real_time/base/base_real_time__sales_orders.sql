{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='sales_order_id',
        on_schema_change='fail'
    )
}}

with loaded as (

    select
        cast(sales_order_id as varchar) as sales_order_id,
        cast(revision_number as integer) as revision_number,
        cast(status as integer) as status,
        cast(online_order_flag as boolean) as online_order_flag,
        cast(sales_order_number as varchar) as sales_order_number,
        {{ without_nan('cast(purchase_order_number as varchar)') }} as purchase_order_number,
        cast(account_number as varchar) as account_number,
        cast(customer_id as varchar) as customer_id,
        {{ without_nan('cast(sales_person_id as varchar)') }} as sales_person_id,
        cast(territory_id as varchar) as territory_id,
        cast(bill_to_address_id as varchar) as bill_to_address_id,
        cast(ship_to_address_id as varchar) as ship_to_address_id,
        cast(ship_method_id as integer) as ship_method_id,
        {{ without_nan('cast(credit_card_id as varchar)') }} as credit_card_id,
        {{ without_nan('cast(credit_card_approval_code as varchar)') }} as credit_card_approval_code,
        {{ without_nan('cast(currency_rate_id as varchar)') }} as currency_rate_id,
        cast(sub_total as decimal(38, 9)) as sub_total,
        cast(tax_amt as decimal(38, 9)) as tax_amt,
        cast(freight as decimal(38, 9)) as freight,
        cast(total_due as decimal(38, 9)) as total_due,
        {{ without_nan('cast(comment as varchar)') }} as comment,
        cast(due_date as timestamp) as due_date,
        cast(order_date as timestamp) as order_date,
        cast(ship_date as timestamp) as ship_date,
        cast(last_modified as timestamp) as last_modified,
        _file,
        _file_row,
        _loaded_at,
        _deleted_at
    from {{ source('raw_ext', 'orders_raw') }}
    {% if is_incremental() %}
    where _loaded_at > {{ high_water_mark() }}
    {% endif %}

),

{{ latest_versions(key='sales_order_id') }}

select *
from latest
{{ in_order_of_loading() }}
