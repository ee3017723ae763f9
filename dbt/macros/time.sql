{#- Time: naive UTC everywhere. -#}

{#- Now, in UTC, without a time zone. Unit tests set it through `overrides`. -#}
{% macro utc_now() -%}
    {{ return(adapter.dispatch('utc_now')()) }}
{%- endmacro %}

{% macro duckdb__utc_now() -%}
    cast(current_timestamp at time zone 'UTC' as timestamp)
{%- endmacro %}

{% macro snowflake__utc_now() -%}
    sysdate()
{%- endmacro %}


{#- Text in ISO 8601, with or without an offset (then it is UTC), as a naive UTC timestamp; NULL if it is no time. -#}
{% macro utc_timestamp(text) -%}
    {{ return(adapter.dispatch('utc_timestamp')(text)) }}
{%- endmacro %}

{% macro duckdb__utc_timestamp(text) -%}
    {#- A cast to timestamp would drop the offset without a word. -#}
    (try_cast({{ text }} as timestamptz) at time zone 'UTC')
{%- endmacro %}

{% macro snowflake__utc_timestamp(text) -%}
    {#- Text without an offset must not become a time of the session's zone, nor digits seconds since 1970. -#}
    case
        when regexp_like({{ text }}, '[0-9]{4}-[0-9]{2}-[0-9]{2}.+(Z|[+-][0-9]{2}(:?[0-9]{2})?)')
            then cast(convert_timezone('UTC', try_cast({{ text }} as timestamp_tz)) as timestamp_ntz)
        when {{ text }} like '____-__-__%'
            then try_cast({{ text }} as timestamp_ntz)
    end
{%- endmacro %}


{#- A timestamp as text that keeps its microseconds: Snowflake's casts to text drop all after the third digit. -#}
{% macro timestamp_text(timestamp) -%}
    {{ return(adapter.dispatch('timestamp_text')(timestamp)) }}
{%- endmacro %}

{% macro duckdb__timestamp_text(timestamp) -%}
    cast({{ timestamp }} as varchar)
{%- endmacro %}

{% macro snowflake__timestamp_text(timestamp) -%}
    to_varchar({{ timestamp }}, 'YYYY-MM-DD HH24:MI:SS.FF6')
{%- endmacro %}


{#- The day's first moment, in UTC. -#}
{% macro utc_today() -%}
    {{ dbt.date_trunc('day', utc_now()) }}
{%- endmacro %}


{#- 1 for Monday to 7 for Sunday. -#}
{% macro iso_weekday(date) -%}
    {{ return(adapter.dispatch('iso_weekday')(date)) }}
{%- endmacro %}

{% macro duckdb__iso_weekday(date) -%}
    extract(isodow from {{ date }})
{%- endmacro %}

{% macro snowflake__iso_weekday(date) -%}
    extract(dayofweekiso from {{ date }})
{%- endmacro %}


{#- Whole minutes from one moment to another, by the seconds between them; NULL if one is. -#}
{% macro minutes_between(earlier, later) -%}
    {#- More minutes than an integer holds (4,083 years) are NULL: one wrong date must not stop a build. -#}
    case
        when abs({{ dbt.datediff(earlier, later, 'second') }}) < 128849018820
            then cast(floor({{ dbt.datediff(earlier, later, 'second') }} / 60) as integer)
    end
{%- endmacro %}
