{#-
How DuckDB makes a table: in one transaction, the old one is dropped and the new one created under its name. dbt-duckdb's own
materialization (1.11) creates it under another name, renames both, and drops the old one in a second transaction, since it
also serves foreign keys, indexes and DuckLake, which this project does not have.
-#}
{% materialization table, adapter='duckdb' %}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {{ make_table(load_cached_relation(this)) }}
    {{ return({'relations': [finish_table()]}) }}

{% endmaterialization %}


{#-
How DuckDB adds to a table: as dbt-duckdb's own materialization (1.11) of incremental models, with the same checks of the
contract and of changed columns. It compares the contract with the temporary table, not with the model's statement, which the
warehouse would have to read a second time, and looks for no foreign keys, indexes, or tables that a rename left behind.
-#}
{% materialization incremental, adapter='duckdb' %}

    {%- set held = load_cached_relation(this) %}
    {%- set is_made_again = held is none or held.is_view or should_full_refresh() %}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- if is_made_again %}
        {{ make_table(held) }}
    {%- else %}
        {{ add_to_table(held) }}
    {%- endif %}
    {{ return({'relations': [finish_table()]}) }}

{% endmaterialization %}


{#- Make the model's table, in place of `held`. -#}
{% macro make_table(held) %}

    {%- if held %}
        {#- A view may have had this name. -#}
        {%- call statement('drop', auto_begin=true) %}
            drop {{ held.type }} if exists {{ held }}
        {%- endcall %}
    {%- endif %}
    {%- call statement('main', auto_begin=true) %}
        {{ create_table_as(false, this.incorporate(type='table'), sql) }}
    {%- endcall %}

{% endmacro %}


{#- Compute the new rows, check their columns, and add them to the table `held` by the model's strategy. -#}
{% macro add_to_table(held) %}

    {#- Without a time in the name, two builds send the same statement. -#}
    {%- set rows = api.Relation.create(identifier=held.identifier ~ '__new_rows') %}
    {%- call statement('rows', auto_begin=false) %}
        create or replace temporary table {{ rows }} as (
            {{ sql }}
        )
    {%- endcall %}
    {%- if config.get('contract').enforced %}
        {%- do get_assert_columns_equivalent('select * from ' ~ rows) %}
    {%- endif %}
    {%- set on_schema_change = incremental_validate_on_schema_change(config.get('on_schema_change'), default='ignore') %}
    {%- set columns = process_schema_changes(on_schema_change, rows, held) or adapter.get_columns_in_relation(held) %}
    {%- set strategy = adapter.get_incremental_strategy_macro(context, config.get('incremental_strategy') or 'default') %}
    {%- call statement('main', auto_begin=true) %}
        {{ strategy({
            'target_relation': held,
            'temp_relation': rows,
            'unique_key': config.get('unique_key'),
            'dest_columns': columns,
            'incremental_predicates': config.get('incremental_predicates')
        }) }}
    {%- endcall %}

{% endmacro %}


{#- End the transaction, and return the model's table. -#}
{% macro finish_table() %}

    {%- set made = this.incorporate(type='table') %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do persist_docs(made, model) %}
    {%- do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return(made) }}

{% endmacro %}
