{#- A purchase order's sub_total, which stands on each of its lines, is their sum. -#}
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
