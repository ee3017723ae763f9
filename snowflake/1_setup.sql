-- Roles, warehouse, monitor, database, schemas and service users. Every statement may be run again.

-- Snowflake recommends USERADMIN as the owner of users and roles.
use role useradmin;

create role if not exists identifier($owner_role) comment = 'Owns the objects of Adventure';
create role if not exists identifier($loader_role) comment = 'Stages files for Adventure';
create role if not exists identifier($transformer_role) comment = 'Builds the models of Adventure';
create role if not exists identifier($reader_role) comment = 'Reads the marts of Adventure';

-- A service user has no password. Give each the public half of its key pair (docs/snowflake.md):
--   alter user ADVENTURE_PROCESSOR set rsa_public_key = 'MIIB…';
create user if not exists identifier($loader_user) type = service comment = 'The processor of Adventure';
create user if not exists identifier($transformer_user) type = service comment = 'dbt for Adventure';

-- The models cast to `timestamp`, which must have no zone in their sessions, whatever the account's default is.
alter user identifier($loader_user) set timestamp_type_mapping = 'TIMESTAMP_NTZ';
alter user identifier($transformer_user) set timestamp_type_mapping = 'TIMESTAMP_NTZ';

grant role identifier($loader_role) to user identifier($loader_user);
grant role identifier($transformer_role) to user identifier($transformer_user);

-- Let the administrators access the objects that the roles own.
grant role identifier($owner_role) to role sysadmin;
grant role identifier($loader_role) to role identifier($owner_role);
grant role identifier($transformer_role) to role identifier($owner_role);
grant role identifier($reader_role) to role identifier($transformer_role);

use role sysadmin;

-- The smallest size, suspended after a minute: each resumption of a warehouse is billed for at least 60 seconds.
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

-- Only an account administrator can give these grants and create the monitor. The administrator's role owns the monitor,
-- because no other role can.
use role accountadmin;

grant execute task on account to role identifier($owner_role);
grant imported privileges on database snowflake to role identifier($owner_role);

-- When the quota is used up, the warehouse stays suspended until the next month. docs/snowflake.md estimates the use.
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

-- Managed access: in other schemas, grants on future objects need the privilege MANAGE GRANTS.
create schema if not exists raw_ext with managed access comment = 'Live: stages, raw tables, ledger, tasks';
create schema if not exists ecom with managed access comment = 'History: orders, purchases, e-mail events';
create schema if not exists new_mktg with managed access comment = 'History: the newer feed of e-mail events';
create schema if not exists adventure_db with managed access comment = 'History: customers, products, vendors, stock';
create schema if not exists dbt_dev with managed access comment = 'Models under development';
create schema if not exists dbt_prod with managed access comment = 'Models';

-- The processor stages and lists files, for which it needs no warehouse.
grant usage on database identifier($database_name) to role identifier($loader_role);
grant usage on schema raw_ext to role identifier($loader_role);

-- dbt reads the raw tables and creates the models.
grant usage on warehouse identifier($warehouse_name) to role identifier($transformer_role);
grant usage on database identifier($database_name) to role identifier($transformer_role);
grant create schema on database identifier($database_name) to role identifier($transformer_role);
grant usage on schema raw_ext to role identifier($transformer_role);
grant usage on schema ecom to role identifier($transformer_role);
grant usage on schema new_mktg to role identifier($transformer_role);
grant usage on schema adventure_db to role identifier($transformer_role);
grant select on all tables in schema raw_ext to role identifier($transformer_role);
grant select on future tables in schema raw_ext to role identifier($transformer_role);
grant select on all views in schema raw_ext to role identifier($transformer_role);
grant select on future views in schema raw_ext to role identifier($transformer_role);
grant select on all tables in schema ecom to role identifier($transformer_role);
grant select on future tables in schema ecom to role identifier($transformer_role);
grant select on all tables in schema new_mktg to role identifier($transformer_role);
grant select on future tables in schema new_mktg to role identifier($transformer_role);
grant select on all tables in schema adventure_db to role identifier($transformer_role);
grant select on future tables in schema adventure_db to role identifier($transformer_role);
grant all privileges on schema dbt_dev to role identifier($transformer_role);
grant all privileges on schema dbt_prod to role identifier($transformer_role);

-- `adventure tasks run`, `status` and `check` use the same role, which runs the tasks.
grant operate, monitor on future tasks in schema raw_ext to role identifier($transformer_role);

-- Readers can read the models, but not the raw tables.
grant usage on warehouse identifier($warehouse_name) to role identifier($reader_role);
grant usage on database identifier($database_name) to role identifier($reader_role);
grant usage on schema dbt_prod to role identifier($reader_role);
grant select on future tables in schema dbt_prod to role identifier($reader_role);
grant select on future views in schema dbt_prod to role identifier($reader_role);
