{#-
How a data test runs: dbt's own materialization of tests (dbt-core 1.11), except that it counts first and stores only the
rows of a test that fails. dbt creates a table for each test, most of which stay empty: a transaction more for each of them.
-#}
{% materialization test, default %}

    {%- set failing = get_limit_subquery_sql(sql, config.get('limit')) %}
    {%- set relations = [] %}

    {%- call statement('main', fetch_result=true) %}
        {{ get_test_sql(failing, config.get('fail_calc'), config.get('warn_if'), config.get('error_if'), limit=none) }}
    {%- endcall %}

    {%- if should_store_failures() %}
        {%- set held = adapter.get_relation(database=database, schema=schema, identifier=model['alias']) %}
        {%- set fails = load_result('main')['data'][0][0] %}
        {%- if held %}
            {%- do adapter.drop_relation(held) %}
        {%- endif %}
        {%- if fails %}
            {%- set stored = api.Relation.create(
                database=database, schema=schema, identifier=model['alias'],
                type=config.get('store_failures_as') or 'table'
            ) %}
            {%- call statement(auto_begin=true) %}
                {{ get_create_sql(stored, failing) }}
            {%- endcall %}
            {%- do relations.append(stored) %}
        {%- endif %}
        {%- if held or fails %}
            {%- do adapter.commit() %}
        {%- endif %}
    {%- endif %}

    {{ return({'relations': relations}) }}

{% endmaterialization %}
