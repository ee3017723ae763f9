{#-
As dbt's `relationships`, for the rows that came last; of the other table only their keys are looked for. Where the two
tables come from two sources, `clock` is a column that tells in both when a row was written: rows that were written
after all that the other table holds yet are judged later, since what they refer to may be on its way.
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
