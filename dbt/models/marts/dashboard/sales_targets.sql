select
    cast(target_month as date) as target_month,
    cast(revenue as decimal(38, 9)) as revenue
from {{ ref('targets') }}
