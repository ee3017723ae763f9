{#- Return the nested lines whose product is missing from column `field` of `to`. -#}
{% test details_have_known_products(model, to, field) %}

with lines as (

    select
        orders.sales_order_id,
        {{ order_detail('line', 'SalesOrderDetailID') }} as sales_order_detail_id,
        {{ order_detail('line', 'ProductID') }} as product_id
    from {{ model }} as orders
    {{ flatten_order_details('orders.order_details', 'line') }}

)

select lines.*
from lines
left join {{ to }} as known
    on lines.product_id = known.{{ field }}
where known.{{ field }} is null

{% endtest %}
