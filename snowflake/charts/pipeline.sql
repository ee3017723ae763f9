-- Pipeline page: the flow, its tasks, models and tests, and rejected rows by reason.
-- What the dashboard asks for it, of the last 30 days and all countries and channels. Made by `make worksheet`, not by
-- hand. Run all of it, as a role that may read what was published (ADVENTURE_READER).
use schema ADVENTURE.DASHBOARD;

select written_at, every_sec from report;

select ran_at, tests from test_run;

select
    stream, source, source_table, stage, raw_table, raw_rows, windows_waiting, files_waiting, rows_waiting,
    bytes_waiting, waiting_since, damaged, watermark, horizon, mode,
    coalesce(rows_loaded, 0) as rows_loaded,
    coalesce(rows_rejected, 0) as rows_rejected,
    last_loaded_at
from streams
left join loads using (stream)
order by position;

select
    task, started_at, ended_at, outcome, "ROWS", files, message, last_success_at, failures_in_a_row
from tasks
order by started_at;

select model, "ROWS", shown from models order by model;

select test, kind, model, outcome, "ROWS", message, audit_table
from tests
order by outcome = 'warn', test;

select stream, reason, "ROWS", last_at from rejected_reasons order by "ROWS" desc;
