-- Stages and raw tables of the live streams, the ledger, and the tables of the history, with the same columns as in DuckDB.
-- Every statement may be run again; a raw table is never replaced.
use role identifier($owner_role);
use warehouse identifier($warehouse_name);
use database identifier($database_name);
use schema raw_ext;

-- Server-side encryption only, so that the listed size is the file's own and the load can check it. A triggered load
-- watches the stage's directory.
create stage if not exists orders_stage
    encryption = (type = 'SNOWFLAKE_SSE')
    directory = (enable = true);

create stage if not exists order_details_stage
    encryption = (type = 'SNOWFLAKE_SSE')
    directory = (enable = true);

create stage if not exists chat_stage
    encryption = (type = 'SNOWFLAKE_SSE')
    directory = (enable = true);

-- `adventure history create` and `load` copy from this stage. Only the owner uses it.
create stage if not exists history_stage
    encryption = (type = 'SNOWFLAKE_SSE');

grant read, write on stage orders_stage to role identifier($loader_role);
grant read, write on stage order_details_stage to role identifier($loader_role);
grant read, write on stage chat_stage to role identifier($loader_role);

-- The streams of new files are for the tasks' WHEN, which needs no warehouse. A stream advances only when a statement that
-- writes reads it: the load selects no rows from it into this table.
create stream if not exists orders_stage_files on stage orders_stage;
create stream if not exists order_details_stage_files on stage order_details_stage;
create stream if not exists chat_stage_files on stage chat_stage;

create table if not exists seen_files (
    relative_path varchar
);

-- Reads a staged text file line by line, such as window.json, whatever it holds.
create file format if not exists lines
    type = csv
    field_delimiter = none
    record_delimiter = '\n'
    field_optionally_enclosed_by = none
    escape_unenclosed_field = none
    null_if = ()
    replace_invalid_characters = true;

-- The ledger: one row for each loaded file, written in the same transaction as the file's rows.
create table if not exists load_history (
    stream varchar not null,
    stage varchar not null,
    window_id varchar not null,
    file varchar not null,
    kind varchar not null comment 'data, rejects, deletes, or removed by adventure stage remove',
    "ROWS" number(38, 0) not null,
    bytes number(38, 0) not null,
    sha256 varchar not null,
    low timestamp_ntz(6),
    high timestamp_ntz(6) not null,
    horizon timestamp_ntz(6) not null,
    mode varchar not null,
    run_id varchar not null,
    staged_at timestamp_ntz(6) not null,
    loaded_at timestamp_ntz(6) not null
);

create table if not exists rejected_rows (
    stream varchar not null,
    key varchar,
    reason varchar,
    "ROW" varchar,
    _file varchar not null,
    _loaded_at timestamp_ntz(6) not null
);

create table if not exists task_history (
    task varchar not null,
    started_at timestamp_ntz(6) not null,
    ended_at timestamp_ntz(6) not null,
    outcome varchar not null,
    "ROWS" number(38, 0) not null,
    files number(38, 0) not null,
    message varchar not null
);

-- The state from which the last build of every model was made. Only the latest row counts.
create table if not exists last_whole_build (
    built_at timestamp_ntz(6) not null,
    project varchar not null comment 'fingerprint of the dbt project',
    history_loaded_at timestamp_ntz(6)
);

-- `adventure stage remove` records removed windows in the ledger.
grant insert on table load_history to role identifier($transformer_role);
grant insert, delete on table task_history to role identifier($transformer_role);
grant insert, delete on table last_whole_build to role identifier($transformer_role);

create table if not exists orders_raw (
    sales_order_id varchar,
    revision_number number(38, 0),
    status number(38, 0),
    online_order_flag number(38, 0),
    sales_order_number varchar,
    purchase_order_number varchar,
    account_number varchar,
    customer_id number(38, 0),
    sales_person_id varchar,
    territory_id number(38, 0),
    bill_to_address_id number(38, 0),
    ship_to_address_id number(38, 0),
    ship_method_id number(38, 0),
    credit_card_id varchar,
    credit_card_approval_code varchar,
    currency_rate_id varchar,
    sub_total number(38, 9),
    tax_amt number(38, 9),
    freight number(38, 9),
    total_due number(38, 9),
    comment varchar,
    due_date timestamp_ntz(6),
    order_date timestamp_ntz(6),
    ship_date timestamp_ntz(6),
    last_modified timestamp_ntz(6),
    _file varchar,
    _file_row number(38, 0),
    _loaded_at timestamp_ntz(6),
    _deleted_at timestamp_ntz(6)
);

create table if not exists order_details_raw (
    sales_order_detail_id varchar,
    sales_order_id varchar,
    carrier_tracking_number varchar,
    order_qty number(38, 0),
    product_id number(38, 0),
    special_offer_id number(38, 0),
    unit_price number(38, 9),
    unit_price_discount number(38, 9),
    line_total number(38, 9),
    last_modified timestamp_ntz(6),
    _file varchar,
    _file_row number(38, 0),
    _loaded_at timestamp_ntz(6),
    _deleted_at timestamp_ntz(6)
);

create table if not exists chat_logs_raw (
    raw variant,
    _file varchar,
    _file_row number(38, 0),
    _loaded_at timestamp_ntz(6),
    _deleted_at timestamp_ntz(6)
);

-- The history, loaded once from files.
create table if not exists ecom.sales_order_raw (
    raw variant,
    _file varchar,
    _file_row number(38, 0),
    _loaded_at timestamp_ntz(6)
);

create table if not exists ecom.purchase_order_raw (
    raw variant,
    _file varchar,
    _file_row number(38, 0),
    _loaded_at timestamp_ntz(6)
);

create table if not exists ecom.email_campaign_raw (
    raw variant,
    _file varchar,
    _file_row number(38, 0),
    _loaded_at timestamp_ntz(6)
);

create table if not exists new_mktg.email_mktg_raw (
    raw variant,
    _file varchar,
    _file_row number(38, 0),
    _loaded_at timestamp_ntz(6)
);

create table if not exists adventure_db.customer_prod_db (
    customerid number(38, 0),
    firstname varchar,
    middlename varchar,
    lastname varchar,
    fullname varchar,
    emailaddress varchar,
    addressline1 varchar,
    addressline2 varchar,
    city varchar,
    stateprovince varchar,
    countryregion varchar,
    postalcode varchar,
    accountnumber varchar,
    territoryid number(38, 0),
    modifieddate timestamp_ntz(6),
    _file varchar,
    _file_row number(38, 0),
    _loaded_at timestamp_ntz(6)
);

create table if not exists adventure_db.product_prod_db (
    productid number(38, 0),
    productname varchar,
    productnumber varchar,
    color varchar,
    standardcost number(38, 9),
    listprice number(38, 9),
    size varchar,
    sizeunitmeasure varchar,
    weight number(38, 9),
    weightunitmeasure varchar,
    productline varchar,
    class varchar,
    style varchar,
    productcategory varchar,
    productsubcategory varchar,
    productmodel varchar,
    sellstartdate timestamp_ntz(6),
    sellenddate timestamp_ntz(6),
    discontinueddate timestamp_ntz(6),
    modifieddate timestamp_ntz(6),
    _file varchar,
    _file_row number(38, 0),
    _loaded_at timestamp_ntz(6)
);

create table if not exists adventure_db.inventory_prod_db (
    productid number(38, 0),
    locationid number(38, 0),
    shelf varchar,
    bin number(38, 0),
    quantity number(38, 0),
    _file varchar,
    _file_row number(38, 0),
    _loaded_at timestamp_ntz(6)
);

create table if not exists adventure_db.product_vendor_prod_db (
    productid number(38, 0),
    vendorid number(38, 0),
    averageleadtime number(38, 0),
    standardprice number(38, 9),
    lastreceiptcost number(38, 9),
    lastreceiptdate timestamp_ntz(6),
    minorderqty number(38, 0),
    maxorderqty number(38, 0),
    onorderqty number(38, 0),
    unitmeasurecode varchar,
    modifieddate timestamp_ntz(6),
    _file varchar,
    _file_row number(38, 0),
    _loaded_at timestamp_ntz(6)
);

create table if not exists adventure_db.vendor_prod_db (
    vendorid number(38, 0),
    accountnumber varchar,
    name varchar,
    creditrating number(38, 0),
    preferredvendorstatus boolean,
    activeflag boolean,
    purchasingwebserviceurl varchar,
    modifieddate timestamp_ntz(6),
    _file varchar,
    _file_row number(38, 0),
    _loaded_at timestamp_ntz(6)
);

-- When the history was loaded; NULL if it was not. All rows of one load have the same time.
create view if not exists last_history as
select max(loaded_at) as loaded_at
from (
    select max(_loaded_at) as loaded_at from ecom.sales_order_raw
    union all
    select max(_loaded_at) as loaded_at from ecom.purchase_order_raw
    union all
    select max(_loaded_at) as loaded_at from ecom.email_campaign_raw
    union all
    select max(_loaded_at) as loaded_at from new_mktg.email_mktg_raw
    union all
    select max(_loaded_at) as loaded_at from adventure_db.customer_prod_db
    union all
    select max(_loaded_at) as loaded_at from adventure_db.product_prod_db
    union all
    select max(_loaded_at) as loaded_at from adventure_db.inventory_prod_db
    union all
    select max(_loaded_at) as loaded_at from adventure_db.product_vendor_prod_db
    union all
    select max(_loaded_at) as loaded_at from adventure_db.vendor_prod_db
) as loads;

grant select on view last_history to role identifier($transformer_role);
