{#-
Return the orders whose sub_total is not the sum of their lines, exactly or within `tolerance` dollars. With `latest`, test
only the orders that were loaded last; an order is rebuilt when one of its lines is loaded. With `details`, the table of the
lines, skip orders written after the newest line in it: their lines may still be in flight.
-#}
{% test details_add_up(model, latest=false, tolerance=0, details=none) %}

with orders as (

    select sales_order_id, sub_total, order_details
    from {{ latest_rows(model) if latest else model }} as judged
    {% if details %}
    where modified_date is null
        or modified_date <= (select max(last_modified) from {{ details }})
    {% endif %}

),

totals as (

    select
        orders.sales_order_id,
        sum({{ order_detail('line', 'LineTotal') }}) as details_total
    from orders
    {{ flatten_order_details('orders.order_details', 'line') }}
    group by orders.sales_order_id

)

select
    orders.sales_order_id,
    orders.sub_total,
    totals.details_total
from orders
left join totals
    on orders.sales_order_id = totals.sales_order_id
where abs(orders.sub_total - coalesce(totals.details_total, 0)) > {{ tolerance }}

{% endtest %}
