{#-
Each key among the rows that came last is in the table once. Builds replace rows by key, so that only what is new could
double one: a table that grows need not be counted whole after every batch.
-#}
{% test unique_latest(model, column_name) %}

select
    {{ column_name }},
    count(*) as occurrences
from {{ model }}
where {{ column_name }} in (select {{ column_name }} from {{ latest_rows(model) }} as latest)
group by {{ column_name }}
having count(*) > 1

{% endtest %}
