{#-
Reading one key of a semi-structured column: JSON in DuckDB, VARIANT in Snowflake.
Keys keep their case. A missing key and JSON's null are NULL; a value that does not fit the type is NULL too, so that
one bad document never stops a build: tests find it.
-#}

{% macro json_text(column, key) -%}
    {{ return(adapter.dispatch('json_text')(column, key)) }}
{%- endmacro %}

{% macro duckdb__json_text(column, key) -%}
    json_extract_string({{ column }}, '$."{{ key }}"')
{%- endmacro %}

{% macro snowflake__json_text(column, key) -%}
    cast(get({{ column }}, '{{ key }}') as varchar)
{%- endmacro %}


{#- A number, exactly. DuckDB's path functions read numbers as doubles; json_transform reads their digits. -#}
{% macro json_number(column, key, type) -%}
    {{ return(adapter.dispatch('json_number')(column, key, type)) }}
{%- endmacro %}

{% macro duckdb__json_number(column, key, type) -%}
    struct_extract(json_transform({{ column }}, '{"{{ key }}": "{{ type }}"}'), '{{ key }}')
{%- endmacro %}

{% macro snowflake__json_number(column, key, type) -%}
    try_cast(cast(get({{ column }}, '{{ key }}') as varchar) as {{ type }})
{%- endmacro %}


{#- An ISO-8601 text as a naive UTC timestamp. -#}
{% macro json_timestamp(column, key) -%}
    {{ utc_timestamp(json_text(column, key)) }}
{%- endmacro %}


{#- An object or array as it is: JSON in DuckDB, VARIANT in Snowflake. -#}
{% macro json_value(column, key) -%}
    {{ return(adapter.dispatch('json_value')(column, key)) }}
{%- endmacro %}

{% macro duckdb__json_value(column, key) -%}
    json_extract({{ column }}, '$."{{ key }}"')
{%- endmacro %}

{% macro snowflake__json_value(column, key) -%}
    get({{ column }}, '{{ key }}')
{%- endmacro %}


{% macro json_array_length(array) -%}
    {{ return(adapter.dispatch('json_array_length')(array)) }}
{%- endmacro %}

{% macro duckdb__json_array_length(array) -%}
    json_array_length({{ array }})
{%- endmacro %}

{% macro snowflake__json_array_length(array) -%}
    array_size({{ array }})
{%- endmacro %}


{#-
Rows out of a JSON array: `from documents {{ flatten_json('documents.items', 'item') }}`, then
{{ json_text('item.value', 'name') }}. A row without an array, or with an empty one, gives none.
-#}
{% macro flatten_json(array, alias) -%}
    {{ return(adapter.dispatch('flatten_json')(array, alias)) }}
{%- endmacro %}

{% macro duckdb__flatten_json(array, alias) -%}
    cross join unnest(try_cast({{ array }} as json[])) as {{ alias }} (value)
{%- endmacro %}

{% macro snowflake__flatten_json(array, alias) -%}
    cross join lateral flatten(input => {{ array }}) as {{ alias }}
{%- endmacro %}


{#-
The text of a document's key that tells its kind: 5 and "5" are two keys. Where the document's own value does not tell,
the processor adds the text in the member `_adventure_key`.
-#}
{% macro json_key(column, key) -%}
    coalesce({{ json_text(json_value(column, '_adventure_key'), key) }}, {{ json_text(column, key) }})
{%- endmacro %}


{#-
A document's cursor as a naive UTC timestamp. Where it is text in a form that no warehouse reads for sure, such as
20260102T030405+0530, the processor adds it in UTC in the member `_adventure_cursor`.
-#}
{% macro json_cursor(column, key) -%}
    {{ utc_timestamp("coalesce(" ~ json_text(column, '_adventure_cursor') ~ ", " ~ json_text(column, key) ~ ")") }}
{%- endmacro %}
