{{ config(materialized='table') }}

with documents as (

    select
        raw,
        -- A document has one line, as an object; the order's other lines are in other documents.
        {{ json_value('raw', 'OrderDetails') }} as details,
        {{ json_text(json_value('raw', 'OrderDetails'), 'PurchaseOrderDetailID') }} as purchase_order_detail_id,
        _file,
        _file_row,
        _loaded_at
    from {{ source('ecom', 'purchase_order_raw') }}

),

lines as (

    select *
    from documents
    where purchase_order_detail_id is not null
    qualify row_number() over (partition by purchase_order_detail_id order by _file desc, _file_row desc) = 1

),

purchase_orders as (

    select
        purchase_order_detail_id,
        {{ json_text('raw', 'PurchaseOrderID') }} as purchase_order_id,
        {{ json_text('raw', 'VendorID') }} as vendor_id,
        {{ json_text('raw', 'EmployeeID') }} as employee_id,
        {{ json_number('raw', 'Status', 'integer') }} as status,
        {{ json_number('raw', 'RevisionNumber', 'integer') }} as revision_number,
        {{ json_number('raw', 'ShipMethodID', 'integer') }} as ship_method_id,
        {{ json_timestamp('raw', 'OrderDate') }} as order_date,
        {{ json_timestamp('raw', 'ShipDate') }} as ship_date,
        {{ json_timestamp('details', 'DueDate') }} as due_date,
        {{ json_text('details', 'ProductID') }} as product_id,
        {{ json_number('details', 'OrderQty', 'integer') }} as order_qty,
        {{ json_number('details', 'ReceivedQty', 'decimal(38,9)') }} as received_qty,
        {{ json_number('details', 'RejectedQty', 'decimal(38,9)') }} as rejected_qty,
        {{ json_number('details', 'StockedQty', 'decimal(38,9)') }} as stocked_qty,
        {{ json_number('details', 'UnitPrice', 'decimal(38,9)') }} as unit_price,
        {{ json_number('details', 'LineTotal', 'decimal(38,9)') }} as line_total,
        {{ json_number('raw', 'SubTotal', 'decimal(38,9)') }} as sub_total,
        {{ json_number('raw', 'TaxAmt', 'decimal(38,9)') }} as tax_amt,
        {{ json_number('raw', 'Freight', 'decimal(38,9)') }} as freight,
        {{ json_number('raw', 'TotalDue', 'decimal(38,9)') }} as total_due,
        _loaded_at
    from lines

),

ship_methods as (

    select ship_method_id, ship_method_name
    from {{ ref('ship_method') }}

)

select
    purchase_orders.purchase_order_detail_id,
    purchase_orders.purchase_order_id,
    purchase_orders.vendor_id,
    purchase_orders.employee_id,
    case purchase_orders.status
        when 1 then 'pending'
        when 2 then 'approved'
        when 3 then 'rejected'
        when 4 then 'complete'
    end as status,
    purchase_orders.revision_number,
    ship_methods.ship_method_name as shipping_method,
    purchase_orders.order_date,
    purchase_orders.ship_date,
    purchase_orders.due_date,
    purchase_orders.product_id,
    purchase_orders.order_qty,
    purchase_orders.received_qty,
    purchase_orders.rejected_qty,
    purchase_orders.stocked_qty,
    purchase_orders.unit_price,
    purchase_orders.line_total,
    purchase_orders.sub_total,
    purchase_orders.tax_amt,
    purchase_orders.freight,
    purchase_orders.total_due,
    purchase_orders._loaded_at
from purchase_orders
left join ship_methods
    on purchase_orders.ship_method_id = ship_methods.ship_method_id
