{#- "2 weeks" or "5 days" as a number of days; NULL for no text, another unit or no number. -#}
{% macro delivery_estimate_days(text) -%}
    {{ try_cast("split_part(trim(" ~ text ~ "), ' ', 1)", 'integer') }}
    * case
        when lower({{ text }}) like '%week%' then 7
        when lower({{ text }}) like '%day%' then 1
    end
{%- endmacro %}
