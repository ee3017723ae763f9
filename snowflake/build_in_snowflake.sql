-- Optional: build and publish the models inside Snowflake, so that nothing outside of the account has to run. Each hour in
-- which something was loaded, a task runs the dbt project in the account, and another publishes what it built.
-- It has never been run against an account. The tests check its syntax, its rights and the publication. They cannot run
-- CREATE DBT PROJECT and EXECUTE DBT PROJECT: of these only the syntax is checked. Without this file, `adventure tasks serve` builds.
--
-- `adventure snowflake deploy` does not run this file. Deploy first, and run `adventure build` once: it publishes the charts'
-- descriptions, which this file does not. Then run it from the project's folder with Snowflake's command line, as a user
-- with ACCOUNTADMIN, and again when the dbt project has changed:
--   snow sql -f snowflake/0_names.sql -f snowflake/build_in_snowflake.sql
-- If your names are others, change snowflake/dbt_profile/profiles.yml, too. With one role, leave out the first two statements,
-- and set all roles of 0_names.sql to yours.
use role accountadmin;
grant execute task on account to role identifier($transformer_role);

use role identifier($owner_role);
use warehouse identifier($warehouse_name);
use database identifier($database_name);
-- The stream below needs it, and only the owner of the table may set it.
alter table raw_ext.load_history set change_tracking = true;

-- dbt runs with the role of its profile, which the role of the task must have. So one role owns both.
use role identifier($transformer_role);
use warehouse identifier($warehouse_name);
use database identifier($database_name);
create schema if not exists dbt_project comment = 'The dbt project, and the tasks that build and publish';
use schema dbt_project;

-- What was loaded since the last build. It begins with what the ledger has, so that the first build is due at once.
create or replace stream loads on table raw_ext.load_history append_only = true show_initial_rows = true;
create table if not exists seen_loads (
    file varchar
);

-- The stage has only the files in this list. Models of a folder of your own need a line of their own.
create or replace stage project_files
    encryption = (type = 'SNOWFLAKE_SSE');
put 'file://snowflake/dbt_profile/profiles.yml' @project_files auto_compress = false overwrite = true;
put 'file://dbt/analyses/*.sql' @project_files/analyses auto_compress = false overwrite = true;
put 'file://dbt/analyses/*.yml' @project_files/analyses auto_compress = false overwrite = true;
put 'file://dbt/dbt_project.yml' @project_files auto_compress = false overwrite = true;
put 'file://dbt/selectors.yml' @project_files auto_compress = false overwrite = true;
put 'file://dbt/macros/*.sql' @project_files/macros auto_compress = false overwrite = true;
put 'file://dbt/models/*.md' @project_files/models auto_compress = false overwrite = true;
put 'file://dbt/models/intermediate/*.sql' @project_files/models/intermediate auto_compress = false overwrite = true;
put 'file://dbt/models/intermediate/*.yml' @project_files/models/intermediate auto_compress = false overwrite = true;
put 'file://dbt/models/intermediate/dashboard/*.sql' @project_files/models/intermediate/dashboard auto_compress = false overwrite = true;
put 'file://dbt/models/intermediate/dashboard/*.yml' @project_files/models/intermediate/dashboard auto_compress = false overwrite = true;
put 'file://dbt/models/intermediate/reviews/*.sql' @project_files/models/intermediate/reviews auto_compress = false overwrite = true;
put 'file://dbt/models/intermediate/reviews/*.yml' @project_files/models/intermediate/reviews auto_compress = false overwrite = true;
put 'file://dbt/models/marts/*.sql' @project_files/models/marts auto_compress = false overwrite = true;
put 'file://dbt/models/marts/*.yml' @project_files/models/marts auto_compress = false overwrite = true;
put 'file://dbt/models/marts/dashboard/*.sql' @project_files/models/marts/dashboard auto_compress = false overwrite = true;
put 'file://dbt/models/marts/dashboard/*.yml' @project_files/models/marts/dashboard auto_compress = false overwrite = true;
put 'file://dbt/models/marts/reviews/*.sql' @project_files/models/marts/reviews auto_compress = false overwrite = true;
put 'file://dbt/models/marts/reviews/*.yml' @project_files/models/marts/reviews auto_compress = false overwrite = true;
put 'file://dbt/models/staging/adventure_db/*.sql' @project_files/models/staging/adventure_db auto_compress = false overwrite = true;
put 'file://dbt/models/staging/adventure_db/*.yml' @project_files/models/staging/adventure_db auto_compress = false overwrite = true;
put 'file://dbt/models/staging/adventure_db/base/*.sql' @project_files/models/staging/adventure_db/base auto_compress = false overwrite = true;
put 'file://dbt/models/staging/adventure_db/base/*.yml' @project_files/models/staging/adventure_db/base auto_compress = false overwrite = true;
put 'file://dbt/models/staging/ecom/*.sql' @project_files/models/staging/ecom auto_compress = false overwrite = true;
put 'file://dbt/models/staging/ecom/*.yml' @project_files/models/staging/ecom auto_compress = false overwrite = true;
put 'file://dbt/models/staging/ecom/base/*.sql' @project_files/models/staging/ecom/base auto_compress = false overwrite = true;
put 'file://dbt/models/staging/ecom/base/*.yml' @project_files/models/staging/ecom/base auto_compress = false overwrite = true;
put 'file://dbt/models/staging/real_time/*.sql' @project_files/models/staging/real_time auto_compress = false overwrite = true;
put 'file://dbt/models/staging/real_time/*.yml' @project_files/models/staging/real_time auto_compress = false overwrite = true;
put 'file://dbt/models/staging/real_time/base/*.sql' @project_files/models/staging/real_time/base auto_compress = false overwrite = true;
put 'file://dbt/models/staging/real_time/base/*.yml' @project_files/models/staging/real_time/base auto_compress = false overwrite = true;
put 'file://dbt/models/staging/reviews/*.sql' @project_files/models/staging/reviews auto_compress = false overwrite = true;
put 'file://dbt/models/staging/reviews/*.yml' @project_files/models/staging/reviews auto_compress = false overwrite = true;
put 'file://dbt/models/staging/reviews/base/*.sql' @project_files/models/staging/reviews/base auto_compress = false overwrite = true;
put 'file://dbt/seeds/*.csv' @project_files/seeds auto_compress = false overwrite = true;
put 'file://dbt/seeds/*.yml' @project_files/seeds auto_compress = false overwrite = true;
put 'file://dbt/tests/generic/*.sql' @project_files/tests/generic auto_compress = false overwrite = true;

-- The newest version of dbt-core 1.11 that Snowflake's manual lists: select system$supported_dbt_versions();
create or replace dbt project models from '@project_files' dbt_version = '1.11.11';

-- Half past, when the loads of the full hour have ended. The warehouse sleeps while nothing was loaded. A task that fails is
-- retried twice; the next build is due with the next load.
create or replace task plan_build
    warehouse = identifier($warehouse_name)
    schedule = 'USING CRON 30 * * * * UTC'
    query_tag = 'adventure:plan_build'
    task_auto_retry_attempts = 2
    when system$stream_has_data('loads')
as
    -- Moves the stream on before the build begins: what is loaded during the build is due for the next one.
    insert into seen_loads select file from loads where false;

create or replace task build
    warehouse = identifier($warehouse_name)
    query_tag = 'adventure:build'
    user_task_timeout_ms = 3600000
    after plan_build
as
    execute dbt project models args = 'build --target prod --selector whole';

-- Clones the marts that are published already, as `adventure build` does. The manual does not say whether a build with failed
-- tests fails its task, so the last run's state is asked for as well.
create or replace task publish
    warehouse = identifier($warehouse_name)
    query_tag = 'adventure:publish'
    after build
as
execute immediate $$
declare
    state varchar;
    begun timestamp_ntz;
    ended timestamp_ntz;
    build_failed exception (-20001, 'The last build did not succeed: nothing is published');
    marts cursor for
        select lower(built.table_name) as name
        from information_schema.tables as built
        inner join information_schema.tables as published on built.table_name = published.table_name
        where built.table_schema = 'DBT_PROD' and built.table_type = 'BASE TABLE' and published.table_schema = 'DASHBOARD';
begin
    select max_by(runs.state, runs.query_start_time),
        convert_timezone('UTC', max(runs.query_start_time))::timestamp_ntz(6), sysdate()
    into :state, :begun, :ended
    from table(information_schema.dbt_project_execution_history(object_name => 'MODELS')) as runs
    where runs.database_name = current_database() and runs.schema_name = 'DBT_PROJECT';
    if (coalesce(state, '') <> 'SUCCESS') then
        raise build_failed;
    end if;
    for mart in marts do
        execute immediate 'create or replace transient table dashboard.' || mart.name || ' clone dbt_prod.' || mart.name;
    end for;
    -- Last: a dashboard that sees a new publication runs all of its queries again.
    create or replace table dashboard.publication as
    select
        sysdate()::timestamp_ntz(6) as built_at,
        (select max(high) from raw_ext.load_history where kind = 'data') as data_as_of;
    -- As `adventure tasks run` records its runs, for `adventure status`.
    insert into raw_ext.task_history (task, started_at, ended_at, outcome, "ROWS", files, message)
    select 'build', :begun, :ended, 'succeeded', 0, 0, 'whole: inside Snowflake'
    union all
    select 'publish', :ended, sysdate(), 'succeeded', 0, 0, '';
end;
$$;

-- New tasks are suspended. Resume a following task before its predecessor.
alter task publish resume;
alter task build resume;
alter task plan_build resume;
