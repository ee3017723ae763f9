-- The tasks, on a schedule. Each load runs at the full hour. It is skipped at no cost, without a warehouse, if no file was
-- staged since (WHEN). To load within a minute of a new file, use 4_tasks_triggered.sql instead. Either file replaces the
-- tasks of the other.
--
-- Five failed runs in a row suspend a load, so that a fault does not cost credits for days. A failed run is retried twice
-- before it counts. `adventure status` shows the failures. Fix the fault, then resume the load:
--   alter task raw_ext.load_orders resume;
-- failure_alerts.sql has Snowflake report the failures of a load and of its cleanup.
use role identifier($owner_role);
use warehouse identifier($warehouse_name);
use database identifier($database_name);
use schema raw_ext;

create or replace task load_orders
    warehouse = identifier($warehouse_name)
    schedule = 'USING CRON 0 * * * * UTC'
    query_tag = 'adventure:load_orders'
    user_task_timeout_ms = 3600000
    suspend_task_after_num_failures = 5
    task_auto_retry_attempts = 2
    when system$stream_has_data('orders_stage_files')
as
    call run_stage_task('load', 'orders', 'columns', 'orders_stage', 'raw_ext.orders_raw', array_construct('sales_order_id'), 'last_modified');

create or replace task cleanup_orders
    warehouse = identifier($warehouse_name)
    query_tag = 'adventure:cleanup_orders'
    user_task_timeout_ms = 3600000
    after load_orders
as
    call run_stage_task('cleanup', 'orders', 'columns', 'orders_stage', 'raw_ext.orders_raw', array_construct('sales_order_id'), 'last_modified');

create or replace task load_order_details
    warehouse = identifier($warehouse_name)
    schedule = 'USING CRON 0 * * * * UTC'
    query_tag = 'adventure:load_order_details'
    user_task_timeout_ms = 3600000
    suspend_task_after_num_failures = 5
    task_auto_retry_attempts = 2
    when system$stream_has_data('order_details_stage_files')
as
    call run_stage_task('load', 'order_details', 'columns', 'order_details_stage', 'raw_ext.order_details_raw', array_construct('sales_order_detail_id'), 'last_modified');

create or replace task cleanup_order_details
    warehouse = identifier($warehouse_name)
    query_tag = 'adventure:cleanup_order_details'
    user_task_timeout_ms = 3600000
    after load_order_details
as
    call run_stage_task('cleanup', 'order_details', 'columns', 'order_details_stage', 'raw_ext.order_details_raw', array_construct('sales_order_detail_id'), 'last_modified');

create or replace task load_chat_logs
    warehouse = identifier($warehouse_name)
    schedule = 'USING CRON 0 * * * * UTC'
    query_tag = 'adventure:load_chat_logs'
    user_task_timeout_ms = 3600000
    suspend_task_after_num_failures = 5
    task_auto_retry_attempts = 2
    when system$stream_has_data('chat_stage_files')
as
    call run_stage_task('load', 'chat_logs', 'documents', 'chat_stage', 'raw_ext.chat_logs_raw', array_construct('_id'), 'last_modified');

create or replace task cleanup_chat_logs
    warehouse = identifier($warehouse_name)
    query_tag = 'adventure:cleanup_chat_logs'
    user_task_timeout_ms = 3600000
    after load_chat_logs
as
    call run_stage_task('cleanup', 'chat_logs', 'documents', 'chat_stage', 'raw_ext.chat_logs_raw', array_construct('_id'), 'last_modified');

-- New tasks are suspended. Resume a following task before its predecessor.
alter task cleanup_orders resume;
alter task load_orders resume;
alter task cleanup_order_details resume;
alter task load_order_details resume;
alter task cleanup_chat_logs resume;
alter task load_chat_logs resume;
