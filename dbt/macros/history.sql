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
