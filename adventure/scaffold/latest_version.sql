{#-
The rows of a raw table, each in its latest version, without the rows that were deleted at the source. The order is that of
the view `raw_ext.NAME_latest`.
-#}
{% macro latest_version(raw_table, key, cursor) -%}
    select *
    from (
        select *
        from {{ raw_table }}
        qualify row_number() over (
            partition by {{ key }}
            order by coalesce(_deleted_at, {{ cursor }}) desc nulls last, _loaded_at desc, _deleted_at desc nulls last
        ) = 1
    ) as latest_versions
    where _deleted_at is null
{%- endmacro %}


{#- A column whose name needs quotes. Raw tables in Snowflake have their names in upper case. -#}
{% macro quoted(name) -%}
    {{ return(adapter.dispatch('quoted')(name)) }}
{%- endmacro %}

{% macro default__quoted(name) -%}
    {{ adapter.quote(name | replace('"', '""')) }}
{%- endmacro %}

{% macro snowflake__quoted(name) -%}
    {{ adapter.quote(name | upper | replace('"', '""')) }}
{%- endmacro %}
