{#- An order is converted by one event at most: returns the conversions of orders that have more. -#}
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
