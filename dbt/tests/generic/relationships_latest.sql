{#- As dbt's `relationships`, for the rows that came last. -#}
{% test relationships_latest(model, column_name, to, field) %}

select latest.*
from {{ latest_rows(model) }} as latest
where latest.{{ column_name }} is not null
    and latest.{{ column_name }} not in (select {{ field }} from {{ to }} where {{ field }} is not null)

{% endtest %}
