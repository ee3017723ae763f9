with customers as (

    select *
    from {{ source('adventure_db', 'customer_prod_db') }}

)

select
    cast(customerid as varchar) as customer_id,
    cast(fullname as varchar) as full_name,
    cast(emailaddress as varchar) as email_address,
    cast(city as varchar) as city,
    cast(stateprovince as varchar) as state_province,
    cast(countryregion as varchar) as country_region,
    cast(accountnumber as varchar) as account_number,
    cast(territoryid as varchar) as territory_id
from customers
