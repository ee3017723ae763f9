-- Load the staged windows with one role, one database and one warehouse: stages, raw tables, and two tasks a stream.
-- Run it whole in a worksheet, in a database that you own; it needs EXECUTE TASK. Every statement may be run again. It has
-- never been run against an account; the tests run it against an emulator.
-- The processor stages a window as a folder: its data files first, and window.json, which lists them, last. The promise:
-- nothing is loaded twice, and nothing is removed that was not loaded. load_history, the ledger, keeps it.
-- `adventure snowflake deploy` replaces these tasks and keeps the tables. It adds: rejected and deleted rows (their windows
-- stay staged here), new columns (add them by hand here), a window that cannot be loaded stops no other window, roles and a
-- credit limit, tasks that sleep while nothing is staged, history, models and dashboard. See docs/snowflake.md.
set database_name = 'MY_DATABASE'; set warehouse_name = 'MY_WAREHOUSE';
use database identifier($database_name); use warehouse identifier($warehouse_name);
create schema if not exists raw_ext; use schema raw_ext;

create stage if not exists orders_stage encryption = (type = 'SNOWFLAKE_SSE') directory = (enable = true);
create stage if not exists order_details_stage encryption = (type = 'SNOWFLAKE_SSE') directory = (enable = true);
create stage if not exists chat_stage encryption = (type = 'SNOWFLAKE_SSE') directory = (enable = true);

create table if not exists orders_raw (
    sales_order_id varchar, revision_number number(38, 0), status number(38, 0), online_order_flag number(38, 0),
    sales_order_number varchar, purchase_order_number varchar, account_number varchar, customer_id number(38, 0),
    sales_person_id varchar, territory_id number(38, 0), bill_to_address_id number(38, 0), ship_to_address_id number(38, 0),
    ship_method_id number(38, 0), credit_card_id varchar, credit_card_approval_code varchar, currency_rate_id varchar,
    sub_total number(38, 9), tax_amt number(38, 9), freight number(38, 9), total_due number(38, 9), comment varchar,
    due_date timestamp_ntz(6), order_date timestamp_ntz(6), ship_date timestamp_ntz(6), last_modified timestamp_ntz(6),
    _file varchar, _file_row number(38, 0), _loaded_at timestamp_ntz(6), _deleted_at timestamp_ntz(6)
);
create table if not exists order_details_raw (
    sales_order_detail_id varchar, sales_order_id varchar, carrier_tracking_number varchar, order_qty number(38, 0),
    product_id number(38, 0), special_offer_id number(38, 0), unit_price number(38, 9), unit_price_discount number(38, 9),
    line_total number(38, 9), last_modified timestamp_ntz(6),
    _file varchar, _file_row number(38, 0), _loaded_at timestamp_ntz(6), _deleted_at timestamp_ntz(6)
);
create table if not exists chat_logs_raw (
    raw variant, _file varchar, _file_row number(38, 0), _loaded_at timestamp_ntz(6), _deleted_at timestamp_ntz(6)
);

-- The ledger: one row for each loaded file, written in the transaction of the file's rows.
create table if not exists load_history (
    stream varchar not null, stage varchar not null, window_id varchar not null, file varchar not null, kind varchar not null,
    "ROWS" number(38, 0) not null, bytes number(38, 0) not null, sha256 varchar not null, low timestamp_ntz(6),
    high timestamp_ntz(6) not null, horizon timestamp_ntz(6) not null, mode varchar not null, run_id varchar not null,
    staged_at timestamp_ntz(6) not null, loaded_at timestamp_ntz(6) not null
);

-- window.json of each complete window, as the last load found it.
create table if not exists staged_windows (stage varchar, window_id varchar, manifest variant);

-- The files that these list, in the ledger's columns; rows_loaded is NULL until the ledger has the file.
create or replace view staged_files as
select
    get(w.manifest, 'stream')::varchar as stream, w.stage, w.window_id, get(f.value, 'name')::varchar as file, 'data' as kind,
    get(f.value, 'rows')::number(38, 0) as rows_promised, get(f.value, 'bytes')::number(38, 0) as bytes,
    get(f.value, 'sha256')::varchar as sha256, get(w.manifest, 'low')::varchar::timestamp_ntz(6) as low,
    get(w.manifest, 'high')::varchar::timestamp_ntz(6) as high, get(w.manifest, 'horizon')::varchar::timestamp_ntz(6) as horizon,
    get(w.manifest, 'mode')::varchar as mode, get(w.manifest, 'run_id')::varchar as run_id,
    get(w.manifest, 'staged_at')::varchar::timestamp_ntz(6) as staged_at, l."ROWS" as rows_loaded,
    coalesce(get(w.manifest, 'rejects')::varchar, get(w.manifest, 'deletes')::varchar) is null as is_data_only
from staged_windows as w
cross join lateral flatten(input => get(w.manifest, 'files')) as f
left join load_history as l
    on w.stage = l.stage and w.window_id = l.window_id and get(f.value, 'name')::varchar = l.file;

-- Of the rows in the temporary table `arrived`, load those of the files that are new and hold as many rows as promised.
create or replace procedure load_arrived(stage_name varchar, raw_table varchar)
returns varchar language sql execute as caller as $$
begin
    update arrived set _loaded_at = convert_timezone('UTC', current_timestamp())::timestamp_ntz(6),
        _file = :stage_name || '/' || split_part(_file, '/', -2) || '/' || split_part(_file, '/', -1);
    begin transaction;
    insert into load_history
    select f.* exclude (rows_loaded, is_data_only), a.loaded_at from staged_files as f
    inner join (select _file, count(*) as row_count, max(_loaded_at) as loaded_at from arrived group by _file) as a
        on a._file = f.stage || '/' || f.window_id || '/' || f.file and a.row_count = f.rows_promised
    where f.rows_loaded is null;
    insert into identifier(:raw_table)
    select arrived.* from arrived
    inner join load_history as l
        on arrived._file = l.stage || '/' || l.window_id || '/' || l.file and arrived._loaded_at = l.loaded_at;
    commit;
end;
$$;

-- Remove the windows whose every row is loaded, file by file, so that what arrives meanwhile stays.
create or replace procedure clean_up(stage_name varchar)
returns varchar language sql execute as caller as $$
declare
    patterns varchar;
begin
    select listagg(pattern, '|') into :patterns from (
        select window_id || '/(' || listagg(replace(file, '.', '[.]'), '|') || '|window[.]json)' as pattern
        from staged_files where stage = :stage_name and is_data_only
        group by window_id having count_if(coalesce(rows_loaded, -1) <> rows_promised) = 0
    ) as loaded_windows;
    if (patterns <> '') then
        execute immediate 'remove @' || :stage_name || ' pattern = ''(.*/)?(' || :patterns || ')''';
    end if;
end;
$$;

-- A load reads which windows are complete, then all rows on the stage: the table `arrived` lives as long as the task runs.
create or replace task load_orders warehouse = identifier($warehouse_name) schedule = 'USING CRON 0 * * * * UTC' as
execute immediate $$
begin
    delete from staged_windows where stage = 'orders_stage';
    copy into staged_windows from (select 'orders_stage', split_part(metadata$filename, '/', -2), $1 from @orders_stage/)
        pattern = '.*window[.]json' file_format = (type = json) force = true;
    create or replace temporary table arrived as select * from orders_raw limit 0;
    copy into arrived from @orders_stage/ pattern = '.*part-[0-9]+[.]parquet'
        file_format = (type = parquet use_logical_type = true binary_as_text = false) force = true
        match_by_column_name = case_insensitive
        include_metadata = (_file = metadata$filename, _file_row = metadata$file_row_number);
    call load_arrived('orders_stage', 'orders_raw');
end;
$$;
create or replace task cleanup_orders warehouse = identifier($warehouse_name) after load_orders as
call clean_up('orders_stage');

create or replace task load_order_details warehouse = identifier($warehouse_name) schedule = 'USING CRON 0 * * * * UTC' as
execute immediate $$
begin
    delete from staged_windows where stage = 'order_details_stage';
    copy into staged_windows from (select 'order_details_stage', split_part(metadata$filename, '/', -2), $1 from @order_details_stage/)
        pattern = '.*window[.]json' file_format = (type = json) force = true;
    create or replace temporary table arrived as select * from order_details_raw limit 0;
    copy into arrived from @order_details_stage/ pattern = '.*part-[0-9]+[.]parquet'
        file_format = (type = parquet use_logical_type = true binary_as_text = false) force = true
        match_by_column_name = case_insensitive
        include_metadata = (_file = metadata$filename, _file_row = metadata$file_row_number);
    call load_arrived('order_details_stage', 'order_details_raw');
end;
$$;
create or replace task cleanup_order_details warehouse = identifier($warehouse_name) after load_order_details as
call clean_up('order_details_stage');

create or replace task load_chat_logs warehouse = identifier($warehouse_name) schedule = 'USING CRON 0 * * * * UTC' as
execute immediate $$
begin
    delete from staged_windows where stage = 'chat_stage';
    copy into staged_windows from (select 'chat_stage', split_part(metadata$filename, '/', -2), $1 from @chat_stage/)
        pattern = '.*window[.]json' file_format = (type = json) force = true;
    create or replace temporary table arrived as select * from chat_logs_raw limit 0;
    copy into arrived (raw, _file, _file_row)
        from (select $1, metadata$filename, metadata$file_row_number from @chat_stage/)
        pattern = '.*part-[0-9]+[.]ndjson[.]gz' file_format = (type = json) force = true;
    call load_arrived('chat_stage', 'chat_logs_raw');
end;
$$;
create or replace task cleanup_chat_logs warehouse = identifier($warehouse_name) after load_chat_logs as
call clean_up('chat_stage');

-- New tasks are suspended. Resume a following task before its predecessor.
alter task cleanup_orders resume; alter task load_orders resume;
alter task cleanup_order_details resume; alter task load_order_details resume;
alter task cleanup_chat_logs resume; alter task load_chat_logs resume;

-- Instead of waiting for the full hour. Give both tasks of a stream a minute before you look.
execute task load_orders; execute task load_order_details; execute task load_chat_logs;

-- What one should see: no file on the stages, and each file in the ledger once, with as many rows as the table has of it. A
-- file that stays has another number of rows than window.json promises, or its window has rejected or deleted rows.
list @orders_stage; list @order_details_stage; list @chat_stage;
select stream, count(*) as files, sum("ROWS") as loaded, count(distinct window_id, file) as different_files
from load_history group by stream;
select count(*) as orders from orders_raw;
select count(*) as lines from order_details_raw;
select count(*) as chats from chat_logs_raw;
