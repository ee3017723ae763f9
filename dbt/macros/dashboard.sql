{#- The dashboard's incremental marts: recompute only the periods in which an order changed. -#}

{#-
The first CTEs of a mart: `sales_orders`, the orders of the changed periods with the column `period` added, and in an
incremental build `changed_periods`, which `periods_without_sales` needs.
-#}
{% macro sales_orders_of_changed_periods(grain) -%}
dated as (

    select *, {{ dbt.date_trunc(grain, 'order_date') }} as period
    from {{ ref('int_sales_orders_by_segment') }}
    -- An order without a valid date is in no period; the test impossible_dates reports it.
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
The end of a mart: changed periods without sales, as rows whose `_loaded_at` is NULL. The strategy `replace` removes these
periods from the table.
-#}
{% macro union_emptied_periods(totals, column, nulls) -%}
{% if is_incremental() %}
union all

select cast(changed_periods.period as {{ column.type }}), {{ 'null, ' * (nulls - 1) }}null
from changed_periods
where cast(changed_periods.period as {{ column.type }}) not in (select {{ column.name }} from {{ totals }})
{% endif %}
{%- endmacro %}


{#-
The place of an order among all: the smaller, the later it was placed; orders of the same time by sales_order_id. Each hour
has numbers of its own, so that a new order changes only those of its hour.
-#}
{% macro recency(orders) -%}
    cast(
        row_number() over (
            partition by {{ orders }}.order_hour
            order by {{ orders }}.order_date desc, {{ orders }}.sales_order_id
        ) - 1000000000 * cast(
            {{ dbt.datediff("cast('2000-01-01' as timestamp)", orders ~ '.order_hour', 'hour') }} as bigint
        ) as bigint
    )
{%- endmacro %}
