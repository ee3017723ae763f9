{{ config(materialized='table') }}

with customers as (

    select *
    from {{ source('adventure_db', 'customer_prod_db') }}
    where customerid is not null
    qualify {{ is_latest_row('customerid', 'modifieddate') }}

)

select
    cast(customerid as varchar) as customer_id,
    cast(firstname as varchar) as first_name,
    cast(middlename as varchar) as middle_name,
    cast(lastname as varchar) as last_name,
    cast(fullname as varchar) as full_name,
    cast(emailaddress as varchar) as email_address,
    cast(addressline1 as varchar) as address_line_1,
    cast(addressline2 as varchar) as address_line_2,
    cast(city as varchar) as city,
    cast(stateprovince as varchar) as state_province,
    cast(countryregion as varchar) as country_region,
    cast(postalcode as varchar) as postal_code,
    cast(accountnumber as varchar) as account_number,
    cast(territoryid as varchar) as territory_id,
    cast(modifieddate as timestamp) as modified_date,
    _loaded_at
from customers
