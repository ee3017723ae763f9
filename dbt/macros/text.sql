{#- Return text on one line: without control characters and without blanks at its ends; NULL if nothing is left. -#}
{% macro clean_text(text) -%}
    {{ return(adapter.dispatch('clean_text')(text)) }}
{%- endmacro %}

{% macro duckdb__clean_text(text) -%}
    nullif(trim(regexp_replace({{ text }}, '[[:space:][:cntrl:]]+', ' ', 'g')), '')
{%- endmacro %}

{% macro snowflake__clean_text(text) -%}
    nullif(trim(regexp_replace({{ text }}, '[[:space:][:cntrl:]]+', ' ')), '')
{%- endmacro %}
