{#-
Return the keys that are NULL or occur more than once, each with the number of its rows. One test of dbt's `not_null` and
`unique` in a statement: a build spends more time on starting a test than the warehouse on running it.
-#}
{% test primary_key(model, column_name) %}

select
    {{ column_name }},
    count(*) as occurrences
from {{ model }}
group by {{ column_name }}
having {{ column_name }} is null
    or count(*) > 1

{% endtest %}
