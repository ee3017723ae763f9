{#- Return the active, preferred vendors whose credit rating is worse than `worst`. -#}
{% test preferred_vendors_credit_check(model, worst=4) %}

select *
from {{ model }}
where is_preferred
    and is_active
    and credit_rating > {{ worst }}

{% endtest %}
