-- Are the sales plausible? March 2013, whose metrics are known, beside the last 30 days: one row per metric. A share is
-- that of values that are not null. A verdict is empty if there is nothing to compare with; see docs/operations.md.
with periods as (

    select '2013-03' as period, timestamp '2013-03-01 00:00:00' as since, timestamp '2013-04-01 00:00:00' as until
    union all
    select '30 days', {today} - interval '29 days', timestamp '9999-12-31 00:00:00'
    union all
    -- Not shown. A column that is empty in the whole history is one that this history does not have.
    select 'history', timestamp '0001-01-01 00:00:00', timestamp '2014-07-01 00:00:00'

),

raw_history as (

    select
        {document_date} as order_date,
        {document_lines} as order_lines
    from ecom.sales_order_raw

),

-- A key is deleted if its latest row says so, as in the base models.
raw_orders as (

    select sales_order_id, order_date, _deleted_at, _loaded_at
    from raw_ext.orders_raw
    qualify row_number() over (
        partition by sales_order_id
        order by coalesce(_deleted_at, last_modified) desc nulls last, _loaded_at desc, _deleted_at desc nulls last
    ) = 1

),

raw_lines as (

    select sales_order_id, _deleted_at
    from raw_ext.order_details_raw
    qualify row_number() over (
        partition by sales_order_detail_id
        order by coalesce(_deleted_at, last_modified) desc nulls last, _loaded_at desc, _deleted_at desc nulls last
    ) = 1

),

live_orders as (

    select sales_order_id, order_date
    from dbt_prod.base_real_time__sales_orders
    where _deleted_at is null

),

-- Lines are loaded before their orders, so the lines of a new order may come with the next load, or with the next build.
lines_in_flight as (

    select sales_order_id
    from raw_orders
    where
        _loaded_at > (
            select coalesce(max(loaded_at), timestamp '0001-01-01 00:00:00')
            from raw_ext.load_history
            where stream = 'order_details'
        )
        or sales_order_id in (select sales_order_id from raw_lines)

),

staged_orders as (

    select periods.period, sales_orders.*
    from dbt_prod.stg_ecom__sales_orders as sales_orders
    inner join periods on sales_orders.order_date >= periods.since and sales_orders.order_date < periods.until
    left join lines_in_flight on sales_orders.sales_order_id = lines_in_flight.sales_order_id
    where sales_orders.order_details is not null or lines_in_flight.sales_order_id is null

),

line_items as (

    select periods.period, lines.*
    from dbt_prod.int_sales_order_line_items as lines
    inner join periods on lines.order_date >= periods.since and lines.order_date < periods.until

),

layers (sort_order, metric) as (

    select sort_order, metric
    from (values
        (1, 'orders: raw'),
        (2, 'orders: base'),
        (3, 'orders: staging'),
        (4, 'orders: intermediate'),
        (5, 'lines: raw'),
        (6, 'lines: base'),
        (7, 'lines: staging'),
        (8, 'lines: intermediate'),
        (9, 'lines: marts')
    ) as named (sort_order, metric)

),

-- Each order and each line once per layer, with the date of its order.
layer_rows as (

    select 1 as sort_order, order_date, 1 as row_count from raw_history
    union all
    select 1, order_date, 1 from raw_orders where _deleted_at is null
    union all
    select 2, order_date, 1 from dbt_prod.base_ecom__sales_orders
    union all
    select 2, order_date, 1 from live_orders
    union all
    select 3, order_date, 1 from dbt_prod.stg_ecom__sales_orders
    union all
    select 4, order_date, 1 from dbt_prod.int_sales_order_with_customers
    union all
    select 5, order_date, order_lines from raw_history
    union all
    select 5, raw_orders.order_date, 1
    from raw_lines
    inner join raw_orders on raw_lines.sales_order_id = raw_orders.sales_order_id
    where raw_lines._deleted_at is null and raw_orders._deleted_at is null
    union all
    select 6, order_date, {size_of_order_details} from dbt_prod.base_ecom__sales_orders
    union all
    select 6, live_orders.order_date, 1
    from dbt_prod.base_real_time__order_details as order_details
    inner join live_orders on order_details.sales_order_id = live_orders.sales_order_id
    where order_details._deleted_at is null
    union all
    select 7, order_date, {size_of_order_details} from dbt_prod.stg_ecom__sales_orders
    union all
    select 8, order_date, 1 from dbt_prod.int_sales_order_line_items
    union all
    select 9, order_date, 1 from dbt_prod.fct_sales_order_lines

),

counted_rows as (

    select periods.period, layer_rows.sort_order, sum(layer_rows.row_count) as row_count
    from layer_rows
    inner join periods on layer_rows.order_date >= periods.since and layer_rows.order_date < periods.until
    group by periods.period, layer_rows.sort_order

),

rows_by_layer as (

    select periods.period, layers.sort_order, layers.metric, coalesce(counted_rows.row_count, 0) as row_count
    from periods
    cross join layers
    left join counted_rows on periods.period = counted_rows.period and layers.sort_order = counted_rows.sort_order

),

filled_columns as (

    select
        period,
        count(*) as total,
{counted_columns}
    from staged_orders
    group by period

),

filled_attributes as (

    select
        period,
        count(*) as total,
{counted_attributes}
    from line_items
    group by period

),

shares as (

    select period, 100 as sort_order, 'not null: ' || lower(name) as metric, filled, total
    from filled_columns
    unpivot (filled for name in (
        {columns}
    ))
    union all
    select period, 200, 'not null in lines: ' || lower(name), filled, total
    from filled_attributes
    unpivot (filled for name in (
        {attributes}
    ))

),

-- All other columns are never null.
known_shares as (

    select *
    from (values
{known_shares}
    ) as known (metric, in_march, in_30_days)

),

totals as (

    select period, count(distinct sales_order_id) as orders, count(*) as lines
    from line_items
    group by period

),

metrics as (

    select
        counted.period,
        counted.sort_order,
        counted.metric,
        cast(counted.row_count as double) as found,
        cast(case
            when counted.period = '2013-03' and counted.sort_order < 5 then {march_orders}
            when counted.period = '2013-03' then {march_lines}
            -- The models do not contain the rows loaded since the last build, so the raw tables are shown but not judged.
            when counted.sort_order not in (1, 5) then built.row_count
        end as double) as expected,
        cast(0 as double) as tolerance
    from rows_by_layer as counted
    inner join rows_by_layer as built
        on counted.period = built.period and built.sort_order = case when counted.sort_order < 5 then 2 else 6 end
    union all
    select
        period,
        10,
        'lines per order',
        lines / cast(orders as double),
        case when period = '2013-03' then {march_lines_per_order} else {lines_per_order} end,
        -- Four standard errors; the standard deviation of lines per order is {lines_deviation}.
        case when period = '2013-03' then 0.001 else greatest(0.1, 4 * {lines_deviation} / sqrt(orders)) end
    from totals
    union all
    select
        shares.period,
        shares.sort_order,
        shares.metric,
        shares.filled / cast(shares.total as double),
        coalesce(case when shares.period = '2013-03' then known.in_march else known.in_30_days end, 1),
        case
            when known.metric is null or known.in_30_days = 0 then 0
            -- The shares of the history are exact, but rounded.
            when shares.period = '2013-03' then 0.001
            else greatest(0.02, 4 * sqrt(known.in_30_days * (1 - known.in_30_days) / shares.total))
        end
    from shares
    left join known_shares as known on shares.metric = known.metric

),

-- Only AdventureWorks, real or generated, has these metrics. Another history is shown but not judged.
history as (

    select count(*) > 0 as is_known
    from dbt_prod.stg_ecom__sales_orders
    where sales_order_id = '{first_order_id}' and order_date < timestamp '2011-06-01 00:00:00'

),

judged as (

    select
        metrics.period,
        metrics.sort_order,
        metrics.metric,
        round(metrics.found, 3) as found,
        round(metrics.expected, 3) as expected,
        round(metrics.tolerance, 3) as tolerance,
        case
            when metrics.expected is null then null
            when metrics.period = '2013-03' and not history.is_known then null
            when metrics.period = '2013-03' and metrics.expected > 0 and metrics.sort_order >= 100 and in_history.found = 0 then null
            when metrics.period = '30 days' and metrics.sort_order < 5 and metrics.found = 0 then 'does not hold'
            when abs(metrics.found - metrics.expected) <= metrics.tolerance + 0.000001 then 'holds'
            else 'does not hold'
        end as verdict
    from metrics
    cross join history
    left join metrics as in_history on metrics.metric = in_history.metric and in_history.period = 'history'

)

select
    metric,
    max(case when period = '2013-03' then expected end) as march_expected,
    max(case when period = '2013-03' then tolerance end) as march_tolerance,
    max(case when period = '2013-03' then found end) as march_found,
    max(case when period = '2013-03' then verdict end) as march_verdict,
    max(case when period = '30 days' then expected end) as last_30_days_expected,
    max(case when period = '30 days' then tolerance end) as last_30_days_tolerance,
    max(case when period = '30 days' then found end) as last_30_days_found,
    max(case when period = '30 days' then verdict end) as last_30_days_verdict
from judged
where period <> 'history'
group by sort_order, metric
order by sort_order, metric
