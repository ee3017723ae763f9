{#- What the e-mail feeds write: `29-May-2011 12.05 PM`, and `segment~category~strategy`. -#}

{#- `29-May-2011 12.05 PM` as a timestamp (UTC); NULL for what is no such time. -#}
{% macro campaign_event_date(text) -%}
    {{ return(adapter.dispatch('campaign_event_date')(text)) }}
{%- endmacro %}

{% macro duckdb__campaign_event_date(text) -%}
    try_strptime({{ text }}, '%d-%b-%Y %I.%M %p')
{%- endmacro %}

{% macro snowflake__campaign_event_date(text) -%}
    try_to_timestamp_ntz({{ text }}, 'DD-MON-YYYY HH12.MI AM')
{%- endmacro %}


{#- Whether a campaign is three names with `~` between them. -#}
{% macro is_campaign(campaign_id) -%}
    (
        length({{ campaign_id }}) - length(replace({{ campaign_id }}, '~', '')) = 2
        and split_part({{ campaign_id }}, '~', 1) != ''
        and split_part({{ campaign_id }}, '~', 2) != ''
        and split_part({{ campaign_id }}, '~', 3) != ''
    )
{%- endmacro %}


{#- The campaign's first, second or third name; NULL where the campaign is of another form. -#}
{% macro campaign_part(campaign_id, place) -%}
    case when {{ is_campaign(campaign_id) }} then split_part({{ campaign_id }}, '~', {{ place }}) end
{%- endmacro %}
