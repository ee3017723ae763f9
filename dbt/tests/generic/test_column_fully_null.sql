{#- Return the rows with a value in a column that is expected to be NULL everywhere. -#}
{% test column_fully_null(model, column_name) %}

select *
from {{ model }}
where {{ column_name }} is not null

{% endtest %}
