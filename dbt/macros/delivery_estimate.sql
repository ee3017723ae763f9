{#- Convert "2 weeks" or "5 days" to a number of days; NULL if text, number or a known unit is missing. -#}
{% macro delivery_estimate_days(text) -%}
    {{ try_cast("split_part(trim(" ~ text ~ "), ' ', 1)", 'integer') }}
    * case
        when lower({{ text }}) like '%week%' then 7
        when lower({{ text }}) like '%day%' then 1
    end
{%- endmacro %}
