{#-
As `relationships_latest`, but for several columns, so that the rows that were loaded last are searched once. Return the
rows that refer to a missing row of another table, with `broken_rules`, which names the columns. `references` is a list of
a `column` of the model, the table `to` which it refers, and the `field` there.
-#}
{% test references_latest(model, references) %}

with latest as (

    select *
    from {{ latest_rows(model) }} as rows_that_came_last

),
{% for reference in references %}
known_{{ loop.index }} as (

    select {{ reference.field }}
    from {{ reference.to }}
    where {{ reference.field }} in (select {{ reference.column }} from latest)

),
{% endfor %}
judged as (

    select
        {% for reference in references -%}
        case
            when latest.{{ reference.column }} not in (select {{ reference.field }} from known_{{ loop.index }})
                then 'unknown {{ reference.column }}; '
            else ''
        end {{ '||' if not loop.last }}
        {% endfor -%}
        as broken_rules,
        latest.*
    from latest

)

select *
from judged
where broken_rules != ''

{% endtest %}
