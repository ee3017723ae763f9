-- Optional: have Snowflake report failed loads and cleanups to a topic of your cloud, from which you send mail or call a
-- pager. `adventure snowflake deploy` does not run this file. Deploy first; then set the two names below, and run the file
-- once in a worksheet, in the session of 0_names.sql, as a user with ACCOUNTADMIN.
--
-- The topic must be in the cloud of your Snowflake account. This is Amazon SNS (a standard topic, not FIFO). In Azure the
-- lines of the provider are notification_provider = azure_event_grid, azure_event_grid_topic_endpoint = '…' and
-- azure_tenant_id = '…'; in Google Cloud notification_provider = gcp_pubsub and gcp_pubsub_topic_name = '…'.
use role accountadmin;

create notification integration if not exists adventure_failures
    enabled = true
    type = queue
    direction = outbound
    notification_provider = aws_sns
    aws_sns_topic_arn = 'arn:aws:sns:us-east-1:123456789012:adventure-failures'
    aws_sns_role_arn = 'arn:aws:iam::123456789012:role/adventure-failures'
    comment = 'Failed tasks of Adventure';

-- Shows the user and the external id (SF_AWS_IAM_USER_ARN, SF_AWS_EXTERNAL_ID) that the role above must trust.
describe integration adventure_failures;

grant usage on integration adventure_failures to role identifier($owner_role);

use role identifier($owner_role);
use warehouse identifier($warehouse_name);
use database identifier($database_name);
use schema raw_ext;

-- A load's graph uses the integration of the load, so its cleanup needs none. A task is altered while it is suspended.
-- A deployment replaces the tasks: set SNOWFLAKE_ERROR_INTEGRATION=ADVENTURE_FAILURES, so that it names the integration, too.
alter task load_orders suspend;
alter task load_orders set error_integration = adventure_failures;
alter task load_orders resume;

alter task load_order_details suspend;
alter task load_order_details set error_integration = adventure_failures;
alter task load_order_details resume;

alter task load_chat_logs suspend;
alter task load_chat_logs set error_integration = adventure_failures;
alter task load_chat_logs resume;
