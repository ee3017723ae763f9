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
