{#- A vendor that the company prefers, and buys from, has no rating below average: `worst` is the last that will do. -#}
{% test preferred_vendors_credit_check(model, worst=4) %}

select *
from {{ model }}
where is_preferred
    and is_active
    and credit_rating > {{ worst }}

{% endtest %}
