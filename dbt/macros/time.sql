{#- Time: naive UTC everywhere. -#}

{#- Return the current time in UTC, without a time zone. Unit tests set it through `overrides`. -#}
{% macro utc_now() -%}
    {{ return(adapter.dispatch('utc_now')()) }}
{%- endmacro %}

{% macro duckdb__utc_now() -%}
    cast(current_timestamp at time zone 'UTC' as timestamp)
{%- endmacro %}

{% macro snowflake__utc_now() -%}
    sysdate()
{%- endmacro %}


{#- Convert ISO 8601 text to a naive UTC timestamp; without an offset it is read as UTC. NULL if it is not valid. -#}
{% macro utc_timestamp(text) -%}
    {{ return(adapter.dispatch('utc_timestamp')(text)) }}
{%- endmacro %}

{% macro duckdb__utc_timestamp(text) -%}
    {#-
    A cast to timestamp would silently drop the offset. DuckDB also accepts `infinity`, `epoch`, years BC and six-digit
    years, which no other tool accepts.
    -#}
    case
        when {{ text }} like '____-__-__%' and {{ text }} not like '%(BC)%'
            then try_cast({{ text }} as timestamptz) at time zone 'UTC'
    end
{%- endmacro %}

{% macro snowflake__utc_timestamp(text) -%}
    {#- Do not read text without an offset in the session's time zone, or digits as seconds since 1970. -#}
    case
        when regexp_like({{ text }}, '[0-9]{4}-[0-9]{2}-[0-9]{2}.+(Z|[+-][0-9]{2}(:?[0-9]{2})?)')
            then cast(convert_timezone('UTC', try_cast({{ text }} as timestamp_tz)) as timestamp_ntz)
        when {{ text }} like '____-__-__%'
            then try_cast({{ text }} as timestamp_ntz)
    end
{%- endmacro %}


{#- Convert a timestamp to text with microseconds: Snowflake's casts to text drop digits after the third. -#}
{% macro timestamp_text(timestamp) -%}
    {{ return(adapter.dispatch('timestamp_text')(timestamp)) }}
{%- endmacro %}

{% macro duckdb__timestamp_text(timestamp) -%}
    cast({{ timestamp }} as varchar)
{%- endmacro %}

{% macro snowflake__timestamp_text(timestamp) -%}
    to_varchar({{ timestamp }}, 'YYYY-MM-DD HH24:MI:SS.FF6')
{%- endmacro %}


{#- Return the start of the day in UTC. -#}
{% macro utc_today() -%}
    {{ dbt.date_trunc('day', utc_now()) }}
{%- endmacro %}


{#- Return the weekday: 1 for Monday to 7 for Sunday. -#}
{% macro iso_weekday(date) -%}
    {{ return(adapter.dispatch('iso_weekday')(date)) }}
{%- endmacro %}

{% macro duckdb__iso_weekday(date) -%}
    extract(isodow from {{ date }})
{%- endmacro %}

{% macro snowflake__iso_weekday(date) -%}
    extract(dayofweekiso from {{ date }})
{%- endmacro %}


{#- Return the whole minutes between two times, computed from the seconds; NULL if either is NULL. -#}
{% macro minutes_between(earlier, later) -%}
    {#- Return NULL for more minutes than an integer holds (4,083 years): one wrong date must not stop a build. -#}
    case
        when abs({{ dbt.datediff(earlier, later, 'second') }}) < 128849018820
            then cast(floor({{ dbt.datediff(earlier, later, 'second') }} / 60) as integer)
    end
{%- endmacro %}
