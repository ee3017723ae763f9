{#-
As `primary_key`, but for growing tables: return the keys that are NULL in any row, and those of the rows loaded last that
the table contains more than once. Builds replace rows by key, so that only new rows can cause a duplicate; a growing table
need not be scanned after every batch.
-#}
{% test primary_key_latest(model, column_name) %}

select
    {{ column_name }},
    count(*) as occurrences
from {{ model }}
where {{ column_name }} in (select {{ column_name }} from {{ latest_rows(model) }} as latest)
group by {{ column_name }}
having count(*) > 1

union all

select
    {{ column_name }},
    count(*) as occurrences
from {{ model }}
where {{ column_name }} is null
group by {{ column_name }}

{% endtest %}
