{#- The live path: rows come in versions, builds take what is new. -#}

{#-
How far an incremental model is: the largest `_loaded_at` that its table holds, as a literal; what lies above it is new.
A load commits all its rows with one stamp that is larger than those of all loads before it, so that nothing can come
later at or below the mark. A literal, because a subquery in its place keeps the warehouse from skipping what it need
not read.
-#}
{% macro high_water_mark() -%}
    {%- set held = run_query('select ' ~ timestamp_text('max(_loaded_at)') ~ ' from ' ~ this) if execute else none -%}
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
The ends of a base model's CTEs: `latest`, one row for each key of `loaded`, in its latest version. A key that is gone at
the source keeps the values of that version, and has `_deleted_at`; a version that is later than the delete brings it
back. In an incremental build what is held takes part as one version and one delete more, so that rows may come in
any order and in any number of builds: the same rows give the same table. (A row that is held twice below counts once.)
-#}
{% macro latest_versions(key) -%}
{%- if is_incremental() %}
-- Of what is held only what can matter, in three parts that the warehouse can each find without reading all of the table:
-- versions that are later than one that came, keys that were deleted, and keys of which a delete or no time came.
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

    -- A delete stands unless a later version came; of equal moments what was loaded later holds.
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
The end of a model that takes increments: a table that is built whole has its rows in the order in which they were loaded,
as increments would have left them. So the warehouse can skip what is older than a mark, and the lines of an order, which
came together, are found together: builds afterwards cost the same, however the table began.
-#}
{% macro in_order_of_loading() -%}
    {% if not is_incremental() -%} order by _loaded_at, _file, _file_row {%- endif %}
{%- endmacro %}


{#-
A subquery: the rows of a table that were loaded last, as many as fifty batches of the generator. The stamps are looked at
first and alone, so that of the wide columns only those rows are read and sorted, not the table.
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
The incremental strategy `replace`: the keys of the batch lose the rows that the table holds of them, and get those of the
batch. As `delete+insert`, but a key may end: a row of the batch without `_loaded_at` has a key that is gone and is
not inserted.
-#}
{% macro get_incremental_replace_sql(arguments) -%}
    {{ return(adapter.dispatch('get_incremental_replace_sql')(arguments)) }}
{%- endmacro %}

{% macro duckdb__get_incremental_replace_sql(arguments) -%}
    {#- The materialization has opened a transaction. -#}
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
