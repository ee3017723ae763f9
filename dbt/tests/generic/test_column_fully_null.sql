{#- The column holds no value at all: returns the rows that have one. -#}
{% test column_fully_null(model, column_name) %}

select *
from {{ model }}
where {{ column_name }} is not null

{% endtest %}
