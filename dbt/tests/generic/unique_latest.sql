{#-
Each key that came with the last day's loads is there once. Builds replace rows by key, so that a key could only be
doubled by what is new: the rest of a table that grows need not be counted again.
-#}
{% test unique_latest(model, column_name) %}

select
    {{ column_name }},
    count(*) as occurrences
from {{ model }}
where {{ column_name }} in (
    select {{ column_name }}
    from {{ model }}
    where _loaded_at >= (select {{ dbt.dateadd('day', -1, 'max(_loaded_at)') }} from {{ model }})
)
group by {{ column_name }}
having count(*) > 1

{% endtest %}
