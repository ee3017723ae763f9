-- The dashboard: the schema of the published tables, and the Streamlit app. Every statement may be run again; the app keeps
-- its URL and gets this project's files. A worksheet cannot PUT, so run this file with `adventure snowflake deploy`, or
-- with `snow sql` from the project's folder. `snow streamlit deploy`, which reads snowflake.yml, also deploys the app.
use role identifier($owner_role);
use warehouse identifier($warehouse_name);
use database identifier($database_name);

create schema if not exists dashboard with managed access comment = 'What the dashboard shows, and the app';
use schema dashboard;

-- The role that builds the models publishes clones of the marts, and the state of the pipeline.
grant usage, create table, create view on schema dashboard to role identifier($transformer_role);
grant usage on schema dashboard to role identifier($reader_role);
grant select on future tables in schema dashboard to role identifier($reader_role);
grant select on future views in schema dashboard to role identifier($reader_role);

-- Empty tables, so that the app's queries succeed before the first publication, which replaces them.
create table if not exists publication (
    built_at timestamp_ntz(6) comment 'when the marts were published',
    data_as_of timestamp_ntz(6) comment 'up to when their sales were read'
);
create table if not exists report (
    written_at timestamp_ntz(6) comment 'when the state of the pipeline was published',
    every_sec double comment 'between two runs of the tasks; NULL when they are run by hand'
);
grant ownership on table publication to role identifier($transformer_role) copy current grants;
grant ownership on table report to role identifier($transformer_role) copy current grants;

-- The credits of each of the last 30 days, including idle minutes, of the warehouse that runs this query: the one that also
-- loads and builds. Snowflake meters up to three hours late.
create or replace view credits as
select
    cast(convert_timezone('UTC', start_time) as date) as day,
    cast(sum(credits_used) as double) as credits
from snowflake.account_usage.warehouse_metering_history
where warehouse_name = current_warehouse()
    and start_time >= dateadd('day', -30, current_timestamp())
group by cast(convert_timezone('UTC', start_time) as date);
grant select on view credits to role identifier($transformer_role);

-- The stage has only the files in this list.
create or replace stage app_files
    encryption = (type = 'SNOWFLAKE_SSE');
put 'file://snowflake/dashboard/streamlit_app.py' @app_files auto_compress = false overwrite = true;
put 'file://snowflake/dashboard/environment.yml' @app_files auto_compress = false overwrite = true;
put 'file://snowflake/dashboard/.streamlit/config.toml' @app_files/.streamlit auto_compress = false overwrite = true;
put 'file://adventure/__init__.py' @app_files/adventure auto_compress = false overwrite = true;
put 'file://adventure/factory.py' @app_files/adventure auto_compress = false overwrite = true;
put 'file://adventure/core/__init__.py' @app_files/adventure/core auto_compress = false overwrite = true;
put 'file://adventure/core/ages.py' @app_files/adventure/core auto_compress = false overwrite = true;
put 'file://adventure/core/clock.py' @app_files/adventure/core auto_compress = false overwrite = true;
put 'file://adventure/core/errors.py' @app_files/adventure/core auto_compress = false overwrite = true;
put 'file://adventure/core/extras.py' @app_files/adventure/core auto_compress = false overwrite = true;
put 'file://adventure/core/json_file.py' @app_files/adventure/core auto_compress = false overwrite = true;
put 'file://adventure/core/kinds.py' @app_files/adventure/core auto_compress = false overwrite = true;
put 'file://adventure/destinations/__init__.py' @app_files/adventure/destinations auto_compress = false overwrite = true;
put 'file://adventure/destinations/published.py' @app_files/adventure/destinations auto_compress = false overwrite = true;
put 'file://adventure/destinations/snowflake/__init__.py' @app_files/adventure/destinations/snowflake auto_compress = false overwrite = true;
put 'file://adventure/destinations/snowflake/kind.py' @app_files/adventure/destinations/snowflake auto_compress = false overwrite = true;
put 'file://adventure/destinations/snowflake/published.py' @app_files/adventure/destinations/snowflake auto_compress = false overwrite = true;
put 'file://adventure/monitoring/__init__.py' @app_files/adventure/monitoring auto_compress = false overwrite = true;
put 'file://adventure/monitoring/health/*.py' @app_files/adventure/monitoring/health auto_compress = false overwrite = true;
put 'file://adventure/dashboard/*.py' @app_files/adventure/dashboard auto_compress = false overwrite = true;
put 'file://adventure/dashboard/sales/*.py' @app_files/adventure/dashboard/sales auto_compress = false overwrite = true;
put 'file://adventure/dashboard/pipeline/*.py' @app_files/adventure/dashboard/pipeline auto_compress = false overwrite = true;

-- The app and its queries run on the existing warehouse with the owner's rights, so viewers need no right to a table.
-- CREATE OR REPLACE would give the app another URL and drop its grants.
set make_app = 'create streamlit if not exists app from ''@app_files'' main_file = ''streamlit_app.py'' query_warehouse = ' || $warehouse_name || ' title = ''Adventure''';
execute immediate $make_app;
grant usage on streamlit app to role identifier($reader_role);
set set_app = 'alter streamlit app set query_warehouse = ' || $warehouse_name || ' title = ''Adventure''';
execute immediate $set_app;

-- Viewers see the live version. Snowflake refuses to add one where there is one already (error 99106).
execute immediate $$
begin
    execute immediate 'alter streamlit app add live version from last';
exception
    when other then
        if (not contains(sqlerrm, 'already a live version')) then
            raise;
        end if;
end;
$$;

-- Replace the files of the live version. A file that is no longer in the list above stays there, unused.
set fill_app = 'copy files into ''snow://streamlit/' || $database_name || '.DASHBOARD.APP/versions/live/'' from @app_files';
execute immediate $fill_app;
