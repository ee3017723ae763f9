with history as (

    select
        sales_order_id,
        customer_id,
        account_number,
        bill_to_address_id,
        comment,
        credit_card_approval_code,
        credit_card_id,
        currency_rate_id,
        {{ delivery_estimate_days('delivery_estimate') }} as delivery_estimate_days,
        due_date,
        freight,
        modified_date,
        online_order_flag,
        order_date,
        order_details,
        purchase_order_number,
        revision_number,
        sales_order_number,
        sales_person_id,
        ship_date,
        ship_method_id,
        ship_to_address_id,
        status,
        sub_total,
        tax_amt,
        territory_id,
        total_due
    from {{ ref('base_ecom__sales_orders') }}

),

live as (

    select
        sales_order_id,
        customer_id,
        account_number,
        bill_to_address_id,
        comment,
        credit_card_approval_code,
        credit_card_id,
        currency_rate_id,
        -- The live source has no estimates.
        cast(null as integer) as delivery_estimate_days,
        due_date,
        freight,
        modified_date,
        online_order_flag,
        order_date,
        order_details,
        purchase_order_number,
        revision_number,
        sales_order_number,
        sales_person_id,
        ship_date,
        ship_method_id,
        ship_to_address_id,
        status,
        sub_total,
        tax_amt,
        territory_id,
        total_due
    from {{ ref('stg_real_time__sales_orders') }}
    where _deleted_at is null

),

sales_orders as (

    select * from history
    union all
    select * from live

),

ship_methods as (

    select ship_method_id, ship_method_name
    from {{ ref('ship_method') }}

)

select
    sales_orders.sales_order_id,
    sales_orders.customer_id,
    sales_orders.account_number,
    sales_orders.bill_to_address_id,
    sales_orders.comment,
    sales_orders.credit_card_approval_code,
    sales_orders.credit_card_id,
    sales_orders.currency_rate_id,
    sales_orders.delivery_estimate_days,
    sales_orders.due_date,
    sales_orders.freight,
    sales_orders.modified_date,
    sales_orders.online_order_flag,
    sales_orders.order_date,
    sales_orders.order_details,
    sales_orders.purchase_order_number,
    sales_orders.revision_number,
    sales_orders.sales_order_number,
    sales_orders.sales_person_id,
    sales_orders.ship_date,
    ship_methods.ship_method_name as shipping_method,
    sales_orders.ship_to_address_id,
    sales_orders.status,
    sales_orders.sub_total,
    sales_orders.tax_amt,
    sales_orders.territory_id,
    sales_orders.total_due
from sales_orders
left join ship_methods
    on sales_orders.ship_method_id = ship_methods.ship_method_id
