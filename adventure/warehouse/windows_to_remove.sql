-- The staged windows of which the ledger holds every file with the promised number of rows, loaded or set aside.
-- Runs in DuckDB and in Snowflake alike. staged_files: as in files_to_load.sql.
select staged.window_id
from staged_files as staged
left join raw_ext.load_history as loaded
    on staged.stage = loaded.stage
    and staged.window_id = loaded.window_id
    and staged.file = loaded.file
    and staged.row_count = loaded.rows_loaded + loaded.rows_rejected
group by staged.window_id
having count(distinct staged.file) = count(distinct loaded.file)
order by staged.window_id
