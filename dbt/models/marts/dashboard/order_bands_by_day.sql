-- The baseline of a day is the median of the same weekday in up to eight weeks before. The spread is the median deviation of
-- all these days from their own weekday's median. Medians, so that an unusual day does not widen the band of the days after
-- it. Deviations are of twice the square roots: those of counts scatter by about one, however many are expected.
{% set weeks = 8 %}
{% set fewest_weeks = 4 %}
{% set shown_days = 120 %}
-- The level of the last days scales the baseline. Four weeks, so that a campaign of one week does not raise it.
{% set level_days = 28 %}
-- The band is as many spreads wide to each side; wider for the many segments, so that chance seldom leaves one of them.
{% set width = {'all': 4, 'segments': 5} %}
-- Where fewer orders are expected and no more came, the day says nothing.
{% set fewest = 10 %}

with orders as (

    select
        cast({{ dbt.date_trunc('day', 'order_hour') }} as date) as order_day,
        country,
        channel,
        orders
    from {{ ref('sales_by_hour') }}
    where order_hour >= {{ dbt.dateadd('day', -(shown_days + 7 * weeks), utc_today()) }}
        and order_hour < {{ utc_today() }}

),

sold as (

    select order_day, 'all' as dimension, 'all' as segment, sum(orders) as orders
    from orders
    group by order_day

    union all

    select order_day, 'country' as dimension, country as segment, sum(orders) as orders
    from orders
    group by order_day, country

    union all

    select order_day, 'channel' as dimension, channel as segment, sum(orders) as orders
    from orders
    group by order_day, channel

    union all

    select order_day, 'market' as dimension, concat(country, ', ', channel) as segment, sum(orders) as orders
    from orders
    group by order_day, country, channel

),

segments as (

    select distinct dimension, segment
    from sold

),

-- A day without orders is zero, from the first day with orders on.
days as (

    select date_day as order_day
    from {{ ref('dim_dates') }}
    where date_day >= (select min(order_day) from sold)
        and date_day < cast({{ utc_today() }} as date)

),

grid as (

    select
        days.order_day,
        segments.dimension,
        segments.segment,
        coalesce(sold.orders, 0) as orders
    from days
    cross join segments
    left join sold
        on days.order_day = sold.order_day
            and segments.dimension = sold.dimension
            and segments.segment = sold.segment

),

earlier as (

    select
        grid.order_day,
        grid.dimension,
        grid.segment,
        past.orders,
        {{ dbt.datediff('past.order_day', 'grid.order_day', 'day') }} as days_ago,
        mod({{ dbt.datediff('past.order_day', 'grid.order_day', 'day') }}, 7) as days_apart
    from grid
    inner join grid as past
        on grid.dimension = past.dimension
            and grid.segment = past.segment
            and {{ dbt.datediff('past.order_day', 'grid.order_day', 'day') }} between 1 and {{ 7 * weeks }}

),

weekdays as (

    select order_day, dimension, segment, days_apart, median(orders) as expected
    from earlier
    group by order_day, dimension, segment, days_apart

),

spreads as (

    select
        earlier.order_day,
        earlier.dimension,
        earlier.segment,
        count(*) as days,
        -- Sales that grow or shrink have moved since the middle of the eight weeks.
        coalesce(
            median(
                case when earlier.days_ago <= {{ level_days }} then earlier.orders / greatest(weekdays.expected, 1) end
            ),
            1
        ) as level,
        greatest(
            1,
            1.4826 * median(abs(2 * sqrt(earlier.orders) - 2 * sqrt(weekdays.expected)))
        ) as spread
    from earlier
    inner join weekdays
        on earlier.order_day = weekdays.order_day
            and earlier.dimension = weekdays.dimension
            and earlier.segment = weekdays.segment
            and earlier.days_apart = weekdays.days_apart
    group by earlier.order_day, earlier.dimension, earlier.segment

),

bands as (

    select
        grid.order_day,
        grid.dimension,
        grid.segment,
        grid.orders,
        weekdays.expected * spreads.level as expected,
        spreads.spread
        * case when grid.dimension = 'all' then {{ width['all'] }} else {{ width['segments'] }} end as half
    from grid
    inner join weekdays
        on grid.order_day = weekdays.order_day
            and grid.dimension = weekdays.dimension
            and grid.segment = weekdays.segment
            and weekdays.days_apart = 0
    inner join spreads
        on grid.order_day = spreads.order_day
            and grid.dimension = spreads.dimension
            and grid.segment = spreads.segment
    where spreads.days >= {{ 7 * fewest_weeks }}

),

scored as (

    select
        *,
        (2 * sqrt(orders) - 2 * sqrt(expected)) / half as score
    from bands

)

select
    order_day,
    cast(dimension as varchar) as dimension,
    cast(segment as varchar) as segment,
    cast(orders as bigint) as orders,
    cast(expected as double) as expected,
    cast(power(greatest(0, sqrt(expected) - half / 2), 2) as double) as low,
    cast(power(sqrt(expected) + half / 2, 2) as double) as high,
    cast(score as double) as score,
    greatest(expected, orders) >= {{ fewest }} and abs(score) > 1 as is_unusual
from scored
