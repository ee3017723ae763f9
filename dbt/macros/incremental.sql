{#- The live path: rows come in versions, builds take what is new. -#}

{#-
How far an incremental model is: the largest value of `column` that its table holds, as a literal. A literal, because a
subquery in its place keeps the warehouse from skipping what it need not read. Use it with `>=`: rows that share the
largest value may have come later, and taking a row twice changes nothing.
-#}
{% macro high_water_mark(column='_loaded_at') -%}
    {%- set held = run_query('select cast(max(' ~ column ~ ') as varchar) from ' ~ this) if execute else none -%}
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
arrives late never replaces a newer one. Of equal versions the one that was loaded last stays, as in a full refresh:
what is taken from the high-water mark on holds every row that could win the tie.
-#}
{% macro is_newer_than_held(key, relation) -%}
    not exists (
        select 1
        from {{ this }} as held
        where held.{{ key }} = {{ relation }}.{{ key }}
            and held.last_modified > {{ relation }}.last_modified
    )
{%- endmacro %}
