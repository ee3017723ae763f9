{#-
Condition for `qualify`: keep the row of each key that changed last, and of equal ones the last in the files. A team's own
files may contain a row twice.
-#}
{% macro is_latest_row(key, changed) -%}
    row_number() over (
        partition by {{ key }}
        order by {{ changed }} desc nulls last, _file desc, _file_row desc
    ) = 1
{%- endmacro %}
