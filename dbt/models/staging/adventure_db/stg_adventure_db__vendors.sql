with vendors as (

    select *
    from {{ source('adventure_db', 'vendor_prod_db') }}
    where vendorid is not null
    qualify {{ is_latest_row('vendorid', 'modifieddate') }}

)

select
    cast(vendorid as varchar) as vendor_id,
    cast(accountnumber as varchar) as account_number,
    cast(name as varchar) as vendor_name,
    cast(creditrating as integer) as credit_rating,
    cast(preferredvendorstatus as boolean) as is_preferred,
    cast(activeflag as boolean) as is_active,
    cast(purchasingwebserviceurl as varchar) as purchasing_web_service_url,
    cast(modifieddate as timestamp) as modified_date
from vendors
