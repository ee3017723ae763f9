-- Roles, warehouse, monitor, database, schemas and service users. Every statement may be run again.

-- Users and roles are USERADMIN's, as Snowflake means it.
use role useradmin;

create role if not exists identifier($owner_role) comment = 'Owns the objects of Adventure';
create role if not exists identifier($loader_role) comment = 'Stages files for Adventure';
create role if not exists identifier($transformer_role) comment = 'Builds the models of Adventure';
create role if not exists identifier($reader_role) comment = 'Reads the marts of Adventure';

-- A service user has no password: give each the public half of its key pair (docs/snowflake.md):
--   alter user ADVENTURE_PROCESSOR set rsa_public_key = 'MIIB…';
create user if not exists identifier($loader_user) type = service comment = 'The processor of Adventure';
create user if not exists identifier($transformer_user) type = service comment = 'dbt for Adventure';

-- A bare `timestamp` has no zone in their sessions, whatever the account prefers: the models cast to it.
alter user identifier($loader_user) set timestamp_type_mapping = 'TIMESTAMP_NTZ';
alter user identifier($transformer_user) set timestamp_type_mapping = 'TIMESTAMP_NTZ';

grant role identifier($loader_role) to user identifier($loader_user);
grant role identifier($transformer_role) to user identifier($transformer_user);

-- What the roles own stays within reach of the administrators.
grant role identifier($owner_role) to role sysadmin;
grant role identifier($loader_role) to role identifier($owner_role);
grant role identifier($transformer_role) to role identifier($owner_role);
grant role identifier($reader_role) to role identifier($transformer_role);

use role sysadmin;

-- The smallest, and asleep after a minute: a resumed warehouse bills 60 seconds at least.
create warehouse if not exists identifier($warehouse_name)
    warehouse_size = xsmall
    auto_suspend = 60
    auto_resume = true
    initially_suspended = true
    statement_timeout_in_seconds = 3600
    comment = 'Loads and builds Adventure';

create database if not exists identifier($database_name) comment = 'Adventure: sales and support chats';

grant ownership on warehouse identifier($warehouse_name) to role identifier($owner_role) copy current grants;
grant ownership on database identifier($database_name) to role identifier($owner_role) copy current grants;

-- Two grants and a monitor that only an account administrator can give; nothing is owned by that role but the monitor,
-- which no other can own.
use role accountadmin;

grant execute task on account to role identifier($owner_role);
grant imported privileges on database snowflake to role identifier($owner_role);

-- At the end of the quota the warehouse is suspended until the next month. docs/snowflake.md works out what is used.
create resource monitor if not exists identifier($monitor_name)
    with credit_quota = 20
    frequency = monthly
    start_timestamp = immediately
    triggers
        on 75 percent do notify
        on 95 percent do suspend
        on 100 percent do suspend_immediate;

set watch = 'alter warehouse ' || $warehouse_name || ' set resource_monitor = ' || $monitor_name;
execute immediate $watch;

-- The loader and the transformer read how many credits are used (CREDIT_BUDGET).
set see = 'grant monitor on resource monitor ' || $monitor_name || ' to role ';
set loader_sees = $see || $loader_role;
execute immediate $loader_sees;
set transformer_sees = $see || $transformer_role;
execute immediate $transformer_sees;

use role identifier($owner_role);
use warehouse identifier($warehouse_name);
use database identifier($database_name);

-- Managed: in another schema only who has MANAGE GRANTS may grant on what is made later (`on future tables`).
create schema if not exists raw_ext with managed access comment = 'Live: stages, raw tables, ledger, tasks';
create schema if not exists ecom with managed access comment = 'History: orders, purchases, e-mail events';
create schema if not exists new_mktg with managed access comment = 'History: the newer feed of e-mail events';
create schema if not exists adventure_db with managed access comment = 'History: customers, products, vendors, stock';
create schema if not exists dbt_dev with managed access comment = 'Models under development';
create schema if not exists dbt_prod with managed access comment = 'Models';

-- The processor stages and lists; it needs no warehouse for that.
grant usage on database identifier($database_name) to role identifier($loader_role);
grant usage on schema raw_ext to role identifier($loader_role);

-- dbt reads what is raw and makes what is modelled.
grant usage on warehouse identifier($warehouse_name) to role identifier($transformer_role);
grant usage on database identifier($database_name) to role identifier($transformer_role);
grant create schema on database identifier($database_name) to role identifier($transformer_role);
grant usage on schema raw_ext to role identifier($transformer_role);
grant usage on schema ecom to role identifier($transformer_role);
grant usage on schema new_mktg to role identifier($transformer_role);
grant usage on schema adventure_db to role identifier($transformer_role);
grant select on all tables in schema raw_ext to role identifier($transformer_role);
grant select on future tables in schema raw_ext to role identifier($transformer_role);
grant select on all tables in schema ecom to role identifier($transformer_role);
grant select on future tables in schema ecom to role identifier($transformer_role);
grant select on all tables in schema new_mktg to role identifier($transformer_role);
grant select on future tables in schema new_mktg to role identifier($transformer_role);
grant select on all tables in schema adventure_db to role identifier($transformer_role);
grant select on future tables in schema adventure_db to role identifier($transformer_role);
grant all privileges on schema dbt_dev to role identifier($transformer_role);
grant all privileges on schema dbt_prod to role identifier($transformer_role);

-- `adventure tasks run`, `status` and `check` work as the same role: it runs the tasks.
grant operate, monitor on future tasks in schema raw_ext to role identifier($transformer_role);

-- Readers see the models, and nothing raw.
grant usage on warehouse identifier($warehouse_name) to role identifier($reader_role);
grant usage on database identifier($database_name) to role identifier($reader_role);
grant usage on schema dbt_prod to role identifier($reader_role);
grant select on future tables in schema dbt_prod to role identifier($reader_role);
grant select on future views in schema dbt_prod to role identifier($reader_role);
