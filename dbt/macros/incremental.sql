{#- The live path: rows come in versions, builds take what is new. -#}

{#-
How far an incremental model is: the largest `_loaded_at` that its table holds, as a literal; what lies above it is new.
A load commits all its rows with one stamp that is larger than those of all loads before it, so that nothing can come
later at or below the mark. A literal, because a subquery in its place keeps the warehouse from skipping what it need
not read.
-#}
{% macro high_water_mark() -%}
    {%- set held = run_query('select cast(max(_loaded_at) as varchar) from ' ~ this) if execute else none -%}
    {%- set value = held.columns[0].values()[0] if held else none -%}
    cast('{{ value or "1970-01-01 00:00:00" }}' as timestamp)
{%- endmacro %}


{#- Condition for `qualify`: the row is the latest version of its key. The rest of the order only settles ties. -#}
{% macro is_latest_version(key) -%}
    row_number() over (
        partition by {{ key }}
        order by last_modified desc nulls last, _loaded_at desc, _file desc, _file_row desc
    ) = 1
{%- endmacro %}


{#-
Condition of an incremental model: its table holds no later version of the row's key, so that an older version that
arrives late never replaces a newer one. Of equal versions the one that was loaded last stays, as in a full refresh.
-#}
{% macro is_newer_than_held(key, relation) -%}
    not exists (
        select 1
        from {{ this }} as held
        where held.{{ key }} = {{ relation }}.{{ key }}
            and held.last_modified > {{ relation }}.last_modified
    )
{%- endmacro %}


{#- A subquery: the rows of a table that were loaded last, as many as fifty batches of the generator. -#}
{% macro latest_rows(relation) -%}
    (select * from {{ relation }} order by _loaded_at desc limit 10000)
{%- endmacro %}
