{#- Parse the formats of the e-mail feeds: `29-May-2011 12.05 PM`, and `segment~category~strategy`. -#}

{#- Convert text such as `29-May-2011 12.05 PM` to a timestamp (UTC); NULL if it is not valid. -#}
{% macro campaign_event_date(text) -%}
    {{ return(adapter.dispatch('campaign_event_date')(text)) }}
{%- endmacro %}

{% macro duckdb__campaign_event_date(text) -%}
    try_strptime({{ text }}, '%d-%b-%Y %I.%M %p')
{%- endmacro %}

{% macro snowflake__campaign_event_date(text) -%}
    try_to_timestamp_ntz({{ text }}, 'DD-MON-YYYY HH12.MI AM')
{%- endmacro %}


{#- Return whether a campaign id is three names with `~` between them. -#}
{% macro is_campaign(campaign_id) -%}
    (
        length({{ campaign_id }}) - length(replace({{ campaign_id }}, '~', '')) = 2
        and split_part({{ campaign_id }}, '~', 1) != ''
        and split_part({{ campaign_id }}, '~', 2) != ''
        and split_part({{ campaign_id }}, '~', 3) != ''
    )
{%- endmacro %}


{#- Return the campaign id's first, second or third name; NULL if it has another form. -#}
{% macro campaign_part(campaign_id, place) -%}
    case when {{ is_campaign(campaign_id) }} then split_part({{ campaign_id }}, '~', {{ place }}) end
{%- endmacro %}
