{#-
The history: each load of it replaces the raw tables whole and gives all rows one stamp. A model of it is incremental in
one step: built anew when its sources hold another load, left alone otherwise, however often live sales are built.
-#}

{#- Whether this model's table was built from what `relations` hold now. Never in a full refresh, nor in a unit test. -#}
{% macro history_is_held(relations) -%}
    {%- if not execute or not this or not is_incremental() -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set stamps = [] -%}
    {%- for relation in relations -%}
        {%- do stamps.append('select max(_loaded_at) as _loaded_at from ' ~ relation) -%}
    {%- endfor -%}
    {%- set answer = run_query(
        'select (select max(_loaded_at) from ' ~ this ~ ') is not distinct from max(_loaded_at)'
        ~ ' from (' ~ stamps | join(' union all ') ~ ') as stamps'
    ) -%}
    {{ return(answer.columns[0].values()[0]) }}
{%- endmacro %}


{#- Hook before such a model: empties its table when another load is there. -#}
{% macro forget_replaced_history(relations) -%}
    {%- if is_incremental() and not history_is_held(relations) -%}
        delete from {{ this }}
    {%- endif -%}
{%- endmacro %}


{#-
Condition for `qualify`: of the rows of one key the one that changed last, and of those the one that stands last in the
files. A team's own files may hold a row twice.
-#}
{% macro is_latest_row(key, changed) -%}
    row_number() over (
        partition by {{ key }}
        order by {{ changed }} desc nulls last, _file desc, _file_row desc
    ) = 1
{%- endmacro %}
