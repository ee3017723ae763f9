-- Do the sales look right? March 2013, whose figures are known, beside the last 30 days: one row a figure. Shares are
-- of rows that are not null. A verdict is empty where there is nothing to judge by: docs/operations.md says when.
with periods as (

    select '2013-03' as period, timestamp '2013-03-01 00:00:00' as since, timestamp '2013-04-01 00:00:00' as until
    union all
    select '30 days', {today} - interval '29 days', timestamp '9999-12-31 00:00:00'
    union all
    -- Not shown: a column that is empty in all of it is one that the history does not have.
    select 'history', timestamp '0001-01-01 00:00:00', timestamp '2014-07-01 00:00:00'

),

raw_history as (

    select
        {document_date} as order_date,
        {document_lines} as order_lines
    from ecom.sales_order_raw

),

-- A key is gone whose latest row says so, as in the base models.
raw_orders as (

    select sales_order_id, order_date, _deleted_at
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

staged_orders as (

    select periods.period, sales_orders.*
    from dbt_prod.stg_ecom__sales_orders as sales_orders
    inner join periods on sales_orders.order_date >= periods.since and sales_orders.order_date < periods.until

),

line_items as (

    select periods.period, lines.*
    from dbt_prod.int_sales_order_line_items as lines
    inner join periods on lines.order_date >= periods.since and lines.order_date < periods.until

),

stations (place, figure) as (

    select place, figure
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
    ) as named (place, figure)

),

-- Each order and each line once at each station, with the date of its order.
held_rows as (

    select 1 as place, order_date, 1 as held from raw_history
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

    select periods.period, held_rows.place, sum(held_rows.held) as held
    from held_rows
    inner join periods on held_rows.order_date >= periods.since and held_rows.order_date < periods.until
    group by periods.period, held_rows.place

),

rows_of_stations as (

    select periods.period, stations.place, stations.figure, coalesce(counted_rows.held, 0) as held
    from periods
    cross join stations
    left join counted_rows on periods.period = counted_rows.period and stations.place = counted_rows.place

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

    select period, 100 as place, 'not null: ' || lower(name) as figure, filled, total
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

-- Not null in all rows, but for these.
known_shares as (

    select *
    from (values
{known_shares}
    ) as known (figure, in_march, in_30_days)

),

totals as (

    select period, count(distinct sales_order_id) as orders, count(*) as lines
    from line_items
    group by period

),

figures as (

    select
        counted.period,
        counted.place,
        counted.figure,
        cast(counted.held as double) as found,
        cast(case
            when counted.period = '2013-03' and counted.place < 5 then {march_orders}
            when counted.period = '2013-03' then {march_lines}
            -- What was loaded since the last build is not in the models yet: the raw tables are shown, not judged.
            when counted.place not in (1, 5) then built.held
        end as double) as expected,
        cast(0 as double) as tolerance
    from rows_of_stations as counted
    inner join rows_of_stations as built
        on counted.period = built.period and built.place = case when counted.place < 5 then 2 else 6 end
    union all
    select
        period,
        10,
        'lines per order',
        lines / cast(orders as double),
        case when period = '2013-03' then {march_lines_per_order} else {lines_per_order} end,
        -- Four standard errors; the lines of orders deviate by {lines_deviation}.
        case when period = '2013-03' then 0.001 else greatest(0.1, 4 * {lines_deviation} / sqrt(orders)) end
    from totals
    union all
    select
        shares.period,
        shares.place,
        shares.figure,
        shares.filled / cast(shares.total as double),
        coalesce(case when shares.period = '2013-03' then known.in_march else known.in_30_days end, 1),
        case
            when known.figure is null or known.in_30_days = 0 then 0
            -- Those of the history are exact, but rounded.
            when shares.period = '2013-03' then 0.001
            else greatest(0.02, 4 * sqrt(known.in_30_days * (1 - known.in_30_days) / shares.total))
        end
    from shares
    left join known_shares as known on shares.figure = known.figure

),

-- Only AdventureWorks, or what is synthesised like it, has these figures; another history is shown and not judged.
history as (

    select count(*) > 0 as is_known
    from dbt_prod.stg_ecom__sales_orders
    where sales_order_id = '{first_order_id}' and order_date < timestamp '2011-06-01 00:00:00'

),

judged as (

    select
        figures.period,
        figures.place,
        figures.figure,
        round(figures.found, 3) as found,
        round(figures.expected, 3) as expected,
        round(figures.tolerance, 3) as tolerance,
        case
            when figures.expected is null then null
            when figures.period = '2013-03' and not history.is_known then null
            when figures.period = '2013-03' and figures.expected > 0 and figures.place >= 100 and ever.found = 0 then null
            when figures.period = '30 days' and figures.place < 5 and figures.found = 0 then 'does not hold'
            when abs(figures.found - figures.expected) <= figures.tolerance + 0.000001 then 'holds'
            else 'does not hold'
        end as verdict
    from figures
    cross join history
    left join figures as ever on figures.figure = ever.figure and ever.period = 'history'

)

select
    figure,
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
group by place, figure
order by place, figure
