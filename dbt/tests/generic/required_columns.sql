{#- Return the rows in which any of these columns is NULL: one test for many columns. -#}
{% test required_columns(model, columns) %}

select *
from {{ model }}
where
    {%- for column in columns %}
    {{ column }} is null{{ " or" if not loop.last }}
    {%- endfor %}

{% endtest %}
