{#-
Check several rules of one table in one scan, as dbt's `not_null`, `accepted_values` and `unique` do in a test each: a build
spends more time on starting a test than the warehouse on running it. Return a row for each combination of broken rules and
values: `broken_rules` names the columns, rules and values, `row_count` counts the rows, and `example` is one of them.

Arguments:
- `required`: columns that are never NULL;
- `accepted`: the values that a column may have, by column; NULL passes, as in `accepted_values`;
- `holds`: expressions that are true; NULL passes;
- `keys`: columns that are never NULL, and of which each value occurs once;
- `example`: the column by which a row is found.
-#}
{% test column_rules(model, required=[], accepted={}, holds=[], keys=[], example=none) %}

{%- set rules = [] %}
{%- for column in required + keys %}
    {%- do rules.append((column ~ ' is null', "'" ~ column ~ " is NULL'")) %}
{%- endfor %}
{%- for column, values in accepted.items() %}
    {%- set listed = [] %}
    {%- for value in values %}
        {%- do listed.append("'" ~ dbt.escape_single_quotes(value) ~ "'" if value is string else value) %}
    {%- endfor %}
    {%- do rules.append((
        column ~ ' not in (' ~ listed | join(', ') ~ ')', "'" ~ column ~ " is ' || cast(" ~ column ~ ' as varchar)'
    )) %}
{%- endfor %}
{%- for expression in holds %}
    {%- do rules.append(('not (' ~ expression ~ ')', "'not: " ~ dbt.escape_single_quotes(expression) ~ "'")) %}
{%- endfor %}

with broken as (

    select
        {% for condition, broken in rules -%}
        case when {{ condition }} then {{ broken }} || '; ' else '' end {{ '||' if not loop.last }}
        {% endfor -%}
        as broken_rules,
        cast({{ example or 'null' }} as varchar) as example
    from {{ model }}
    where
        {%- for condition, _ in rules %}
        {{ condition }} {{ 'or' if not loop.last }}
        {%- endfor %}

)

select
    broken_rules,
    count(*) as row_count,
    min(example) as example
from broken
group by broken_rules
{% for column in keys %}
union all

select
    '{{ column }} occurs more than once; ' as broken_rules,
    count(*) as row_count,
    cast({{ column }} as varchar) as example
from {{ model }}
where {{ column }} is not null
group by {{ column }}
having count(*) > 1
{% endfor %}
{% endtest %}
