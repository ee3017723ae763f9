-- Removes everything that the other files created, including all rows, in reverse order. Every statement may be run again:
-- the roles that it uses are Snowflake's own, and what is missing is skipped. ACCOUNTADMIN has the rights of the owner.
use role accountadmin;

-- The database contains the stages, tables, tasks, models, and the dashboard's app.
drop database if exists identifier($database_name);
drop warehouse if exists identifier($warehouse_name);
drop resource monitor if exists identifier($monitor_name);

-- Exists if you ran failure_alerts.sql.
drop integration if exists adventure_failures;

use role useradmin;

drop user if exists identifier($loader_user);
drop user if exists identifier($transformer_user);
drop role if exists identifier($reader_role);
drop role if exists identifier($transformer_role);
drop role if exists identifier($loader_role);
drop role if exists identifier($owner_role);
