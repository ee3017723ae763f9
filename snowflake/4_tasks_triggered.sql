-- The tasks, triggered: without a SCHEDULE a task waits for its stream, costs nothing meanwhile, and runs within a minute of a
-- new file. Every run resumes the warehouse for a minute at least: for rare files this is cheap, for a processor that stages
-- every few seconds take 4_tasks_scheduled.sql instead; either replaces the other.
--
-- Five failures in a row suspend a load, so that a fault does not cost for days; `adventure status` shows it, and
--   alter task raw_ext.load_orders resume;
-- starts it again when the fault is mended. A run that fails is tried twice more before it counts.
-- To be told of failures, make a notification integration and add `error_integration = NAME` to each load: cleanups are
-- part of their load's graph and report to the same.
use role identifier($owner_role);
use warehouse identifier($warehouse_name);
use database identifier($database_name);
use schema raw_ext;

create or replace task load_orders
    warehouse = identifier($warehouse_name)
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

-- Tasks are made suspended; what runs after another is resumed before it.
alter task cleanup_orders resume;
alter task load_orders resume;
alter task cleanup_order_details resume;
alter task load_order_details resume;
alter task cleanup_chat_logs resume;
alter task load_chat_logs resume;
