{#-
Read one key of a semi-structured column: JSON in DuckDB, VARIANT in Snowflake. Keys are case-sensitive. A missing key
and JSON's null give NULL. So does a value that does not fit the type: one faulty document does not stop a build, and the
tests report it.
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


{#- Read a number exactly. DuckDB's path functions read numbers as doubles; json_transform reads their digits. -#}
{% macro json_number(column, key, type) -%}
    {{ return(adapter.dispatch('json_number')(column, key, type)) }}
{%- endmacro %}

{% macro duckdb__json_number(column, key, type) -%}
    struct_extract(json_transform({{ column }}, '{"{{ key }}": "{{ type }}"}'), '{{ key }}')
{%- endmacro %}

{% macro snowflake__json_number(column, key, type) -%}
    try_cast(cast(get({{ column }}, '{{ key }}') as varchar) as {{ type }})
{%- endmacro %}


{#-
Read several keys of a large document at once: DuckDB parses the document for each function that reads it. `json_texts` and
`json_numbers` make one column of all keys, and `text_of` and `number_of` read one key of that column. They give what
`json_text` and `json_number` give. In Snowflake a VARIANT is already parsed, so the column is the document.

Args:
    keys: a list of keys.
    types: the type of each key's number.
-#}
{% macro json_texts(column, keys) -%}
    {{ return(adapter.dispatch('json_texts')(column, keys)) }}
{%- endmacro %}

{% macro duckdb__json_texts(column, keys) -%}
    json_extract_string({{ column }}, [
        {%- for key in keys %}'$."{{ key }}"'{{ ", " if not loop.last }}{% endfor -%}
    ])
{%- endmacro %}

{% macro snowflake__json_texts(column, keys) -%}
    {{ column }}
{%- endmacro %}

{% macro text_of(texts, keys, key) -%}
    {{ return(adapter.dispatch('text_of')(texts, keys, key)) }}
{%- endmacro %}

{% macro duckdb__text_of(texts, keys, key) -%}
    {{ texts }}[{{ keys.index(key) + 1 }}]
{%- endmacro %}

{% macro snowflake__text_of(texts, keys, key) -%}
    {{ json_text(texts, key) }}
{%- endmacro %}

{% macro json_numbers(column, types) -%}
    {{ return(adapter.dispatch('json_numbers')(column, types)) }}
{%- endmacro %}

{% macro duckdb__json_numbers(column, types) -%}
    json_transform({{ column }}, '{{ tojson(types) }}')
{%- endmacro %}

{% macro snowflake__json_numbers(column, types) -%}
    {{ column }}
{%- endmacro %}

{% macro number_of(numbers, types, key) -%}
    {{ return(adapter.dispatch('number_of')(numbers, types, key)) }}
{%- endmacro %}

{% macro duckdb__number_of(numbers, types, key) -%}
    struct_extract({{ numbers }}, '{{ key }}')
{%- endmacro %}

{% macro snowflake__number_of(numbers, types, key) -%}
    {{ json_number(numbers, key, types[key]) }}
{%- endmacro %}


{#-
Read a whole number that is written in the digits 0 to 9. Anything else gives NULL: a fraction, which the warehouses would
round differently, a word, a boolean, and the digits of other scripts.
-#}
{% macro json_whole_number(column, key) -%}
    {%- set text = json_text(column, key) -%}
    case when {{ is_whole_number(text) }} then {{ try_cast(text, 'integer') }} end
{%- endmacro %}

{% macro is_whole_number(text) -%}
    {{ return(adapter.dispatch('is_whole_number')(text)) }}
{%- endmacro %}

{% macro duckdb__is_whole_number(text) -%}
    regexp_full_match({{ text }}, '-?[0-9]{1,9}([.]0+)?')
{%- endmacro %}

{% macro snowflake__is_whole_number(text) -%}
    regexp_like({{ text }}, '-?[0-9]{1,9}([.]0+)?')
{%- endmacro %}


{#- Read ISO 8601 text as a naive UTC timestamp. -#}
{% macro json_timestamp(column, key) -%}
    {{ utc_timestamp(json_text(column, key)) }}
{%- endmacro %}


{#- Read an object or array unchanged: JSON in DuckDB, VARIANT in Snowflake. -#}
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
Turn a JSON array into rows: `from documents {{ flatten_json('documents.items', 'item') }}`, then
{{ json_text('item.value', 'name') }}. A row without an array, or with an empty one, gives no rows.
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
Return a document's key as text that distinguishes types: 5 and "5" are two keys. If the value alone is ambiguous, the
processor adds the text in the member `_adventure_key`.
-#}
{% macro json_key(column, key) -%}
    coalesce({{ json_text(json_value(column, '_adventure_key'), key) }}, {{ json_text(column, key) }})
{%- endmacro %}


{#-
Return a document's cursor as a naive UTC timestamp. If it is text in a form that not every warehouse reads, such as
20260102T030405+0530, the processor adds it in UTC in the member `_adventure_cursor`.
-#}
{% macro json_cursor(column, key) -%}
    {{ utc_timestamp("coalesce(" ~ json_text(column, '_adventure_cursor') ~ ", " ~ json_text(column, key) ~ ")") }}
{%- endmacro %}
