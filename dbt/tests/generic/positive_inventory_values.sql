{#- Return the rows whose stock is negative or NULL. -#}
{% test positive_inventory_values(model, column_name) %}

select *
from {{ model }}
where {{ column_name }} < 0
    or {{ column_name }} is null

{% endtest %}
