{#- As dbt's `relationships`, for the rows that came last; of the other table only their keys are looked for. -#}
{% test relationships_latest(model, column_name, to, field) %}

with latest as (

    select *
    from {{ latest_rows(model) }} as rows_that_came_last
    where {{ column_name }} is not null

),

known as (

    select {{ field }}
    from {{ to }}
    where {{ field }} in (select {{ column_name }} from latest)

)

select latest.*
from latest
where latest.{{ column_name }} not in (select {{ field }} from known)

{% endtest %}
