{#- Return the purchase orders whose sub_total, repeated on each line, is not the sum of their lines. -#}
{% test purchase_lines_add_up(model) %}

select
    purchase_order_id,
    min(sub_total) as sub_total,
    sum(line_total) as lines_total
from {{ model }}
group by purchase_order_id
having min(sub_total) != sum(line_total)
    or min(sub_total) != max(sub_total)

{% endtest %}
