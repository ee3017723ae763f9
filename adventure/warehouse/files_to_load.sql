-- The staged files that the ledger does not hold, oldest window first. Runs in DuckDB and in Snowflake alike.
-- staged_files: one row a file that a committed window lists (a window without files has one row without file).
select
    staged.window_id,
    staged.file
from staged_files as staged
left join raw_ext.load_history as loaded
    on staged.stage = loaded.stage
    and staged.window_id = loaded.window_id
    and staged.file = loaded.file
where
    staged.file is not null
    and loaded.file is null
order by
    staged.window_id,
    staged.file
