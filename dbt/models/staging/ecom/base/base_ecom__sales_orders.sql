{{ config(materialized='table') }}

select
    {{ json_text('raw', 'SalesOrderID') }} as sales_order_id,
    {{ json_text('raw', 'CustomerID') }} as customer_id,
    {{ json_text('raw', 'AccountNumber') }} as account_number,
    {{ json_text('raw', 'BillToAddressID') }} as bill_to_address_id,
    {{ without_nan(json_text('raw', 'Comment')) }} as comment,
    {{ without_nan(json_text('raw', 'CreditCardApprovalCode')) }} as credit_card_approval_code,
    {{ without_nan(json_text('raw', 'CreditCardID')) }} as credit_card_id,
    {{ without_nan(json_text('raw', 'CurrencyRateID')) }} as currency_rate_id,
    {{ without_nan(json_text('raw', 'DeliveryEstimate')) }} as delivery_estimate,
    {{ json_timestamp('raw', 'DueDate') }} as due_date,
    {{ json_number('raw', 'Freight', 'decimal(38,9)') }} as freight,
    {{ json_timestamp('raw', 'ModifiedDate') }} as modified_date,
    {{ json_number('raw', 'OnlineOrderFlag', 'integer') }} = 1 as online_order_flag,
    {{ json_timestamp('raw', 'OrderDate') }} as order_date,
    {{ order_details_from_json('raw', 'OrderDetails') }} as order_details,
    {{ without_nan(json_text('raw', 'PurchaseOrderNumber')) }} as purchase_order_number,
    {{ json_number('raw', 'RevisionNumber', 'integer') }} as revision_number,
    {{ json_text('raw', 'SalesOrderNumber') }} as sales_order_number,
    {{ without_nan(json_text('raw', 'SalesPersonID')) }} as sales_person_id,
    {{ json_timestamp('raw', 'ShipDate') }} as ship_date,
    {{ json_number('raw', 'ShipMethodID', 'integer') }} as ship_method_id,
    {{ json_text('raw', 'ShipToAddressID') }} as ship_to_address_id,
    {{ json_number('raw', 'Status', 'integer') }} as status,
    {{ json_number('raw', 'SubTotal', 'decimal(38,9)') }} as sub_total,
    {{ json_number('raw', 'TaxAmt', 'decimal(38,9)') }} as tax_amt,
    {{ json_text('raw', 'TerritoryID') }} as territory_id,
    {{ json_number('raw', 'TotalDue', 'decimal(38,9)') }} as total_due,
    _loaded_at
from {{ source('ecom', 'sales_order_raw') }}
where {{ json_text('raw', 'SalesOrderID') }} is not null
qualify {{ is_latest_row('sales_order_id', 'modified_date') }}
