{#-
As dbt's `relationships`, but only for the rows that were loaded last, and searching the other table by key only. If the
tables come from two sources, `clock` names a column of both with the time when a row was written. Rows written after the
newest row of the other table are skipped: the rows that they refer to may still be in flight.
-#}
{% test relationships_latest(model, column_name, to, field, clock=none) %}

with latest as (

    select *
    from {{ latest_rows(model) }} as rows_that_came_last
    where {{ column_name }} is not null
    {% if clock %}
        and ({{ clock }} is null or {{ clock }} < (select max({{ clock }}) from {{ to }}))
    {% endif %}

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
