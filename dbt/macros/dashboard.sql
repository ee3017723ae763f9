{#- The dashboard's marts: periods are added up anew when an order in them has changed, the others are left alone. -#}

{#-
The CTEs of such a mart: `sales_orders`, those of the changed periods with `period` beside their columns, and in an
incremental build `changed_periods`, for `periods_without_sales`.
-#}
{% macro sales_orders_of_changed_periods(grain) -%}
dated as (

    select *, {{ dbt.date_trunc(grain, 'order_date') }} as period
    from {{ ref('int_sales_orders_by_segment') }}
    -- An order without a possible date lies in no period; impossible_dates names it.
    where order_date is not null

),

{% if is_incremental() -%}
changed_periods as (

    select distinct period
    from dated
    where _loaded_at > {{ high_water_mark() }}

),

{% endif -%}
sales_orders as (

    select *
    from dated
    where is_current
    {% if is_incremental() -%}
        and period in (select period from changed_periods)
    {% endif %}
)
{%- endmacro %}


{#-
The end of such a mart: the changed periods that have no sales any more, as rows without `_loaded_at`, which take those
periods out of the table (see the strategy `replace`).
-#}
{% macro union_emptied_periods(totals, column, nulls) -%}
{% if is_incremental() %}
union all

select cast(changed_periods.period as {{ column.type }}), {{ 'null, ' * (nulls - 1) }}null
from changed_periods
where cast(changed_periods.period as {{ column.type }}) not in (select {{ column.name }} from {{ totals }})
{% endif %}
{%- endmacro %}
