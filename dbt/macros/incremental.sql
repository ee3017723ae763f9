{#- Incremental models of live rows: each row arrives in versions, and builds read only new ones. -#}

{#-
Return the high-water mark of an incremental model: the largest `_loaded_at` in its table. Rows above it are new. A load
commits all its rows with one stamp, later than in all earlier loads, so no row can appear later at or below the mark. The
mark is a literal, because with a subquery the warehouse could not prune the rows that it need not read. Write it into the
SQL as it is: where an increment is repeated without dbt, the literal before the comment is replaced and nothing else.

A model that reads two tables needs a mark for each, since both are loaded at the same time and not read at the same time:
`column` then holds the stamps of the rows of one of them.
-#}
{% macro high_water_mark(column='_loaded_at') -%}
    {%- set named = '/* high-water mark of ' ~ column ~ ' */' -%}
    {%- set question = 'select ' ~ timestamp_text('max(' ~ column ~ ')') ~ ' from ' ~ this ~ ' ' ~ named -%}
    {%- set held = run_query(question) if execute else none -%}
    {%- set value = held.columns[0].values()[0] if held else none -%}
    cast('{{ value or "1970-01-01 00:00:00" }}' as timestamp) {{ named }}
{%- endmacro %}


{#- Condition for `qualify`: the row is the latest version of its key. The columns after last_modified break ties. -#}
{% macro is_latest_version(key) -%}
    row_number() over (
        partition by {{ key }}
        order by last_modified desc nulls last, _loaded_at desc, _file desc, _file_row desc
    ) = 1
{%- endmacro %}


{#-
The last CTEs of a base model: `latest` has one row for each key of `loaded`, in its latest version. A key deleted at the
source keeps the values of that version and gets `_deleted_at`; a version later than the delete restores it. In an
incremental build, the rows of the table take part as additional versions and deletes. So the same rows give the same
table, in whatever order and in however many builds they arrive. (A row that `held` contains twice counts once.)
-#}
{% macro latest_versions(key) -%}
{%- if is_incremental() %}
-- The rows of the table that can affect the result, in three parts that the warehouse finds without a full scan: versions
-- later than a loaded one, deleted keys, and keys for which a delete or a version without a time was loaded.
held as (

    select held.*
    from {{ this }} as held
    inner join loaded
        on held.{{ key }} = loaded.{{ key }}
            and held.last_modified > loaded.last_modified

    union all

    select *
    from {{ this }}
    where _deleted_at is not null
        and {{ key }} in (select {{ key }} from loaded)

    union all

    select *
    from {{ this }}
    where {{ key }} in (
        select {{ key }} from loaded where _deleted_at is not null or last_modified is null
    )

),
{% endif %}
versions as (

    select * from loaded where _deleted_at is null
    {%- if is_incremental() %}
    union all
    select * from held
    {%- endif %}

),

latest_version as (

    select *
    from versions
    qualify {{ is_latest_version(key) }}

),

deletes as (

    select {{ key }}, _deleted_at, _file, _file_row, _loaded_at from loaded where _deleted_at is not null
    {%- if is_incremental() %}
    union all
    select {{ key }}, _deleted_at, _file, _file_row, _loaded_at from held where _deleted_at is not null
    {%- endif %}

),

latest_delete as (

    select *
    from deletes
    qualify row_number() over (
        partition by {{ key }}
        order by _deleted_at desc, _loaded_at desc, _file desc, _file_row desc
    ) = 1

),

standing_delete as (

    -- A delete holds unless there is a later version; at the same time, the one loaded later wins.
    select latest_delete.*
    from latest_delete
    left join latest_version
        on latest_delete.{{ key }} = latest_version.{{ key }}
    where latest_version.{{ key }} is null
        or latest_version.last_modified is null
        or latest_delete._deleted_at > latest_version.last_modified
        or (
            latest_delete._deleted_at = latest_version.last_modified
            and latest_delete._loaded_at >= latest_version._loaded_at
        )

),

latest as (

    select
        latest_version.* replace (
            coalesce(latest_version.{{ key }}, standing_delete.{{ key }}) as {{ key }},
            coalesce(standing_delete._file, latest_version._file) as _file,
            coalesce(standing_delete._file_row, latest_version._file_row) as _file_row,
            greatest(
                coalesce(latest_version._loaded_at, standing_delete._loaded_at),
                coalesce(standing_delete._loaded_at, latest_version._loaded_at)
            ) as _loaded_at,
            standing_delete._deleted_at as _deleted_at
        )
    from latest_version
    full outer join standing_delete
        on latest_version.{{ key }} = standing_delete.{{ key }}

)
{%- endmacro %}


{#-
The end of an incremental model: a full build stores the rows in the order in which they were loaded, as increments would
have. The warehouse can then skip rows below a mark, and the lines of an order, which were loaded together, are stored
together. So later builds cost the same whether the table began with a full build or with increments.
-#}
{% macro in_order_of_loading() -%}
    {% if not is_incremental() -%} order by _loaded_at, _file, _file_row {%- endif %}
{%- endmacro %}


{#-
A subquery for the rows of a table that were loaded last, as many as fifty batches of the generator. It reads the stamps
first, so that the wide columns are read and sorted for these rows only.
-#}
{% macro latest_rows(relation) -%}
    (
        select *
        from {{ relation }}
        where _loaded_at >= (
            select min(_loaded_at)
            from (select _loaded_at from {{ relation }} order by _loaded_at desc limit 10000) as stamps
        )
        order by _loaded_at desc
        limit 10000
    )
{%- endmacro %}


{#-
The incremental strategy `replace`: for each key of the batch, replace the rows of the table with those of the batch. It
works as `delete+insert`, but can also remove a key: a row of the batch whose `_loaded_at` is NULL is not inserted.
-#}
{% macro get_incremental_replace_sql(arguments) -%}
    {{ return(adapter.dispatch('get_incremental_replace_sql')(arguments)) }}
{%- endmacro %}

{% macro duckdb__get_incremental_replace_sql(arguments) -%}
    {#- The materialization has already opened a transaction. -#}
    {{ replace_statements(arguments) }}
{%- endmacro %}

{% macro snowflake__get_incremental_replace_sql(arguments) -%}
    {{ snowflake_dml_explicit_transaction(replace_statements(arguments)) }}
{%- endmacro %}

{% macro replace_statements(arguments) -%}
    {%- set columns = get_quoted_csv(arguments.dest_columns | map(attribute='name')) -%}
    delete from {{ arguments.target_relation }}
    where {{ arguments.unique_key }} in (select {{ arguments.unique_key }} from {{ arguments.temp_relation }});

    insert into {{ arguments.target_relation }} ({{ columns }})
    select {{ columns }}
    from {{ arguments.temp_relation }}
    where _loaded_at is not null
{%- endmacro %}


{#-
dbt's own condition for a full refresh (dbt-core 1.11), and one more: the table of an incremental model is from an earlier
version of the model, and lacks the column that the model names as `rebuilt_without`.
-#}
{% macro should_full_refresh() -%}
    {%- set wanted = config.get('full_refresh') -%}
    {%- set column = (config.get('meta') or {}).get('rebuilt_without') -%}
    {%- set wanted = flags.FULL_REFRESH if wanted is none else wanted -%}
    {%- if column and execute and not wanted -%}
        {%- set held = load_cached_relation(this) -%}
        {%- if held -%}
            {%- set names = adapter.get_columns_in_relation(held) | map(attribute='name') | map('lower') | list -%}
            {%- set wanted = column not in names -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(wanted) }}
{%- endmacro %}
