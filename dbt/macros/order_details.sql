{#-
An order's lines nested in one column, as an array of objects with the source system's keys: a list of structs in DuckDB,
which keeps all types and digits, and an ARRAY of objects in Snowflake. The lines are nested from rows (live sales) or read
from a document (history), and flattened again in downstream models.
-#}

{#- The objects' keys in order, each with the column it is nested from and its type after flattening. -#}
{% macro order_detail_attributes() %}
    {{ return([
        {'key': 'SalesOrderDetailID', 'column': 'sales_order_detail_id', 'type': 'varchar'},
        {'key': 'CarrierTrackingNumber', 'column': 'carrier_tracking_number', 'type': 'varchar'},
        {'key': 'OrderQty', 'column': 'order_qty', 'type': 'integer'},
        {'key': 'ProductID', 'column': 'product_id', 'type': 'varchar'},
        {'key': 'SpecialOfferID', 'column': 'special_offer_id', 'type': 'varchar'},
        {'key': 'UnitPrice', 'column': 'unit_price', 'type': 'decimal(38,9)'},
        {'key': 'UnitPriceDiscount', 'column': 'unit_price_discount', 'type': 'decimal(38,9)'},
        {'key': 'LineTotal', 'column': 'line_total', 'type': 'decimal(38,9)'},
        {'key': 'ModifiedDate', 'column': 'modified_date', 'type': 'timestamp'},
    ]) }}
{% endmacro %}


{#- Aggregate the group's lines from the columns of `relation`, sorted by SalesOrderDetailID. -#}
{% macro nest_order_details(relation) -%}
    {{ return(adapter.dispatch('nest_order_details')(relation)) }}
{%- endmacro %}

{% macro duckdb__nest_order_details(relation) -%}
    {#- Structs sort by their first key; sorting the list is faster than ordering inside array_agg. -#}
    list_sort(array_agg(struct_pack(
        {%- for attribute in order_detail_attributes() %}
        "{{ attribute.key }}" := cast({{ relation }}.{{ attribute.column }} as {{ attribute.type }})
        {{- "," if not loop.last }}
        {%- endfor %}
    )))
{%- endmacro %}

{% macro snowflake__nest_order_details(relation) -%}
    array_agg(object_construct_keep_null(
        {%- for attribute in order_detail_attributes() %}
        {%- set column = relation ~ '.' ~ attribute.column %}
        '{{ attribute.key }}',
        {%- if attribute.type == 'timestamp' %} {{ timestamp_text(column) }}
        {%- else %} cast({{ column }} as {{ attribute.type }})
        {%- endif %}
        {{- "," if not loop.last }}
        {%- endfor %}
    )) within group (order by {{ relation }}.sales_order_detail_id)
{%- endmacro %}


{#- Read the lines under `key` of a document. An attribute that does not fit its type is NULL, and a test reports it. -#}
{% macro order_details_from_json(column, key) -%}
    {{ return(adapter.dispatch('order_details_from_json')(column, key)) }}
{%- endmacro %}

{% macro duckdb__order_details_from_json(column, key) -%}
    struct_extract(json_transform({{ column }}, '{"{{ key }}": [{
        {%- for attribute in order_detail_attributes() -%}
        "{{ attribute.key }}": "{{ attribute.type }}"{{ ", " if not loop.last }}
        {%- endfor -%}
    }]}'), '{{ key }}')
{%- endmacro %}

{% macro snowflake__order_details_from_json(column, key) -%}
    as_array(get({{ column }}, '{{ key }}'))
{%- endmacro %}


{#- Turn the nested lines into rows: `from orders {{ flatten_order_details('orders.order_details', 'line') }}`. -#}
{% macro flatten_order_details(array, alias) -%}
    {{ return(adapter.dispatch('flatten_order_details')(array, alias)) }}
{%- endmacro %}

{% macro duckdb__flatten_order_details(array, alias) -%}
    cross join unnest({{ array }}) as {{ alias }} (value)
{%- endmacro %}

{% macro snowflake__flatten_order_details(array, alias) -%}
    cross join lateral flatten(input => {{ array }}) as {{ alias }}
{%- endmacro %}


{#- Return one attribute of a flattened line, typed. -#}
{% macro order_detail(line, key) -%}
    {%- set attribute = order_detail_attributes() | selectattr('key', 'equalto', key) | first -%}
    {{ return(adapter.dispatch('order_detail')(line, attribute)) }}
{%- endmacro %}

{% macro duckdb__order_detail(line, attribute) -%}
    {{ line }}.value."{{ attribute.key }}"
{%- endmacro %}

{% macro snowflake__order_detail(line, attribute) -%}
    try_cast(cast(get({{ line }}.value, '{{ attribute.key }}') as varchar) as {{ attribute.type }})
{%- endmacro %}


{#- Return the units of an order: the sum of its quantities, without flattening it. -#}
{% macro order_units(array) -%}
    {{ return(adapter.dispatch('order_units')(array)) }}
{%- endmacro %}

{% macro duckdb__order_units(array) -%}
    coalesce(list_sum(list_transform({{ array }}, lambda line: line."OrderQty")), 0)
{%- endmacro %}

{% macro snowflake__order_units(array) -%}
    coalesce(
        reduce(
            {{ array }}, 0,
            (units, line) -> units + coalesce(try_cast(cast(get(line, 'OrderQty') as varchar) as integer), 0)
        ),
        0
    )
{%- endmacro %}
