{#-
Return the documents with a date that the models cannot read, so that it is NULL there: under one of `keys` of the document,
or of the object under `within`. The form is `iso`, or `campaign` for `29-May-2011 12.05 PM`.
-#}
{% test impossible_dates(model, column_name, keys, within=none, form='iso') %}

{%- set document = json_value(column_name, within) if within else column_name %}

with documents as (

    select
        *,
        {{ json_texts(document, keys) }} as texts
    from {{ model }}

)

select * exclude (texts)
from documents
where
    {%- for key in keys %}
    {%- set text = text_of('texts', keys, key) %}
    ({{ text }} is not null and {{ campaign_event_date(text) if form == 'campaign' else utc_timestamp(text) }} is null)
    {{- " or" if not loop.last }}
    {%- endfor %}

{% endtest %}
