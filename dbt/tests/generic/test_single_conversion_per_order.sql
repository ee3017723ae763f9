{#- One campaign at most converted an order. -#}
{% test single_conversion_per_order(model, column_name) %}

select
    {{ column_name }},
    count(*) as conversions
from {{ model }}
where event_type = 'conversion'
    and {{ column_name }} is not null
group by {{ column_name }}
having count(*) > 1

{% endtest %}
