select
    cast(view_name as varchar) as view_name,
    cast(link as varchar) as link
from {{ ref('views') }}
