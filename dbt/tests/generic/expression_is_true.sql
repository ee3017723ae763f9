{#- The expression holds for every row; where it is NULL it is not judged. -#}
{% test expression_is_true(model, expression) %}

select *
from {{ model }}
where not ({{ expression }})

{% endtest %}
