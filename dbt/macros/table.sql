{#-
How DuckDB makes a table: in one transaction, the old one is dropped and the new one created under its name. dbt-duckdb's own
materialization (1.11) creates it under another name, renames both, and drops the old one in a second transaction, since it
also serves foreign keys, indexes and DuckLake, which this project does not have.
-#}
{% materialization table, adapter='duckdb' %}

    {%- set held = load_cached_relation(this) %}
    {%- set made = this.incorporate(type='table') %}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- if held %}
        {#- A view may have had this name. -#}
        {%- call statement('drop', auto_begin=true) %}
            drop {{ held.type }} if exists {{ held }}
        {%- endcall %}
    {%- endif %}
    {%- call statement('main', auto_begin=true) %}
        {{ create_table_as(false, made, compiled_code) }}
    {%- endcall %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {%- do persist_docs(made, model) %}
    {%- do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [made]}) }}

{% endmaterialization %}
