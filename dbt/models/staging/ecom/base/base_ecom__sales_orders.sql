{{ config(materialized='table') }}

{%- set keys = [
    'SalesOrderID', 'CustomerID', 'AccountNumber', 'BillToAddressID', 'Comment', 'CreditCardApprovalCode',
    'CreditCardID', 'CurrencyRateID', 'DeliveryEstimate', 'DueDate', 'ModifiedDate', 'OrderDate',
    'PurchaseOrderNumber', 'SalesOrderNumber', 'SalesPersonID', 'ShipDate', 'ShipToAddressID', 'TerritoryID',
] %}
{%- set types = {
    'Freight': 'decimal(38,9)', 'OnlineOrderFlag': 'integer', 'RevisionNumber': 'integer', 'ShipMethodID': 'integer',
    'Status': 'integer', 'SubTotal': 'decimal(38,9)', 'TaxAmt': 'decimal(38,9)', 'TotalDue': 'decimal(38,9)',
} %}

with documents as (

    select
        raw,
        {{ json_texts('raw', keys) }} as texts,
        {{ json_numbers('raw', types) }} as numbers,
        _file,
        _file_row,
        _loaded_at
    from {{ source('ecom', 'sales_order_raw') }}

)

select
    {{ text_of('texts', keys, 'SalesOrderID') }} as sales_order_id,
    {{ text_of('texts', keys, 'CustomerID') }} as customer_id,
    {{ text_of('texts', keys, 'AccountNumber') }} as account_number,
    {{ text_of('texts', keys, 'BillToAddressID') }} as bill_to_address_id,
    {{ without_nan(text_of('texts', keys, 'Comment')) }} as comment,
    {{ without_nan(text_of('texts', keys, 'CreditCardApprovalCode')) }} as credit_card_approval_code,
    {{ without_nan(text_of('texts', keys, 'CreditCardID')) }} as credit_card_id,
    {{ without_nan(text_of('texts', keys, 'CurrencyRateID')) }} as currency_rate_id,
    {{ without_nan(text_of('texts', keys, 'DeliveryEstimate')) }} as delivery_estimate,
    {{ utc_timestamp(text_of('texts', keys, 'DueDate')) }} as due_date,
    {{ number_of('numbers', types, 'Freight') }} as freight,
    {{ utc_timestamp(text_of('texts', keys, 'ModifiedDate')) }} as modified_date,
    {{ number_of('numbers', types, 'OnlineOrderFlag') }} = 1 as online_order_flag,
    {{ utc_timestamp(text_of('texts', keys, 'OrderDate')) }} as order_date,
    {{ order_details_from_json('raw', 'OrderDetails') }} as order_details,
    {{ without_nan(text_of('texts', keys, 'PurchaseOrderNumber')) }} as purchase_order_number,
    {{ number_of('numbers', types, 'RevisionNumber') }} as revision_number,
    {{ text_of('texts', keys, 'SalesOrderNumber') }} as sales_order_number,
    {{ without_nan(text_of('texts', keys, 'SalesPersonID')) }} as sales_person_id,
    {{ utc_timestamp(text_of('texts', keys, 'ShipDate')) }} as ship_date,
    {{ number_of('numbers', types, 'ShipMethodID') }} as ship_method_id,
    {{ text_of('texts', keys, 'ShipToAddressID') }} as ship_to_address_id,
    {{ number_of('numbers', types, 'Status') }} as status,
    {{ number_of('numbers', types, 'SubTotal') }} as sub_total,
    {{ number_of('numbers', types, 'TaxAmt') }} as tax_amt,
    {{ text_of('texts', keys, 'TerritoryID') }} as territory_id,
    {{ number_of('numbers', types, 'TotalDue') }} as total_due,
    _loaded_at
from documents
where {{ text_of('texts', keys, 'SalesOrderID') }} is not null
qualify {{ is_latest_row('sales_order_id', 'modified_date') }}
