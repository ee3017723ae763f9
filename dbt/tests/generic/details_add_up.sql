{#-
An order's sub_total is the sum of its lines, to the last digit or within `tolerance` dollars. With `latest` only the
orders that came last are added up: an order comes again when one of its lines does. With `details`, the table that lines
come from, orders that were written after all of its lines are judged later: theirs may be on their way.
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
