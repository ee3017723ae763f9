-- The names of the database and of all objects outside of it. In a worksheet, run this file first, in the same session as
-- the other files. `adventure snowflake deploy` uses the names of the settings. The names within the database come from
-- pipeline.toml and the dbt project.
set database_name = 'ADVENTURE';
set warehouse_name = 'ADVENTURE_WH';
set monitor_name = 'ADVENTURE_MONITOR';

-- Owns all objects. Only deployments use this role.
set owner_role = 'ADVENTURE_OWNER';
-- The processor stages files with this role.
set loader_role = 'ADVENTURE_LOADER';
-- dbt builds the models with this role.
set transformer_role = 'ADVENTURE_TRANSFORMER';
-- Reads the marts and the dashboard.
set reader_role = 'ADVENTURE_READER';

set loader_user = 'ADVENTURE_PROCESSOR';
set transformer_user = 'ADVENTURE_DBT';
