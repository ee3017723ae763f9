select
    cast(annotation_day as date) as annotation_day,
    cast(annotation as varchar) as annotation
from {{ ref('annotations') }}
