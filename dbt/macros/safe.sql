{#- Casts that give NULL instead of an error. -#}

{% macro try_cast(expression, type) -%}
    {{ return(adapter.dispatch('try_cast')(expression, type)) }}
{%- endmacro %}

{% macro duckdb__try_cast(expression, type) -%}
    try_cast({{ expression }} as {{ type }})
{%- endmacro %}

{% macro snowflake__try_cast(expression, type) -%}
    {#- Snowflake's try_cast accepts text only. -#}
    try_cast(cast({{ expression }} as varchar) as {{ type }})
{%- endmacro %}


{#-
Return text, or NULL where it is the text of a missing number: generators that write from a data frame store a missing value
as the text 'NaN'. For columns that may be NULL.
-#}
{% macro without_nan(text) -%}
    nullif(nullif({{ text }}, 'NaN'), 'nan')
{%- endmacro %}
