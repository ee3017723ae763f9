-- The names of everything that is created outside of the database. In a worksheet: run this file first, in the same
-- session as the others. `adventure snowflake deploy` sets those that the settings give; within the database the names
-- are those of pipeline.toml and the dbt project.
set database_name = 'ADVENTURE';
set warehouse_name = 'ADVENTURE_WH';
set monitor_name = 'ADVENTURE_MONITOR';

-- Owns what is created here. Nobody works as this role but who deploys.
set owner_role = 'ADVENTURE_OWNER';
-- Stages files: the processor.
set loader_role = 'ADVENTURE_LOADER';
-- Builds the models: dbt.
set transformer_role = 'ADVENTURE_TRANSFORMER';
-- Sees the marts and the dashboard.
set reader_role = 'ADVENTURE_READER';

set loader_user = 'ADVENTURE_PROCESSOR';
set transformer_user = 'ADVENTURE_DBT';
