-- Removes everything that the other files created, including all rows, in reverse order.
use role identifier($owner_role);

-- The database contains the stages, tables, tasks, models, and the dashboard's app.
drop database if exists identifier($database_name);

use role accountadmin;

drop warehouse if exists identifier($warehouse_name);
drop resource monitor if exists identifier($monitor_name);

use role useradmin;

drop user if exists identifier($loader_user);
drop user if exists identifier($transformer_user);
drop role if exists identifier($reader_role);
drop role if exists identifier($transformer_role);
drop role if exists identifier($loader_role);
drop role if exists identifier($owner_role);
