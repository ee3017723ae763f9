{#- Return the conversions of orders with more than one conversion. -#}
{% test single_conversion_per_order(model, column_name) %}

select *
from {{ model }}
where event_type = 'conversion'
    and {{ column_name }} in (
        select {{ column_name }}
        from {{ model }}
        where event_type = 'conversion'
        group by {{ column_name }}
        having count(*) > 1
    )

{% endtest %}
