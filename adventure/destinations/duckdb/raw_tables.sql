-- The tables of the schema raw_ext. A raw table has the columns of its source and _file, _file_row, _loaded_at and
-- _deleted_at, which is set in tombstones of deleted rows. The raw tables of the shipped streams are created here, so that
-- the models build before the first load. The first load of any other stream creates its raw table.
create schema if not exists raw_ext;

-- The ledger: one row for each loaded file, written in the same transaction as the file's rows.
create table if not exists raw_ext.load_history (
    stream varchar not null,
    stage varchar not null,
    window_id varchar not null,
    file varchar not null,
    kind varchar not null,  -- data, rejects or deletes; removed: a window that `stage remove` removed
    rows bigint not null,
    bytes bigint not null,
    sha256 varchar not null,
    low timestamp,
    high timestamp not null,
    horizon timestamp not null,
    mode varchar not null,
    run_id varchar not null,
    staged_at timestamp not null,
    loaded_at timestamp not null
);

-- Whole rows that cannot be converted exactly.
create table if not exists raw_ext.rejected_rows (
    stream varchar not null,
    key varchar,
    reason varchar,
    row varchar,  -- as the source prints it: JSON, or base64 of a document that cannot be decoded
    _file varchar not null,
    _loaded_at timestamp not null
);

create table if not exists raw_ext.task_history (
    task varchar not null,
    started_at timestamp not null,
    ended_at timestamp not null,
    outcome varchar not null,  -- succeeded, failed or skipped
    rows bigint not null,
    files bigint not null,
    message varchar not null
);

-- One row: the state from which the last build of every model was made.
create table if not exists raw_ext.last_whole_build (
    built_at timestamp not null,
    project varchar not null,  -- fingerprint of the dbt project
    history_loaded_at timestamp
);

create table if not exists raw_ext.orders_raw (
    sales_order_id varchar,
    revision_number integer,
    status integer,
    online_order_flag integer,
    sales_order_number varchar,
    purchase_order_number varchar,
    account_number varchar,
    customer_id integer,
    sales_person_id varchar,
    territory_id integer,
    bill_to_address_id integer,
    ship_to_address_id integer,
    ship_method_id integer,
    credit_card_id varchar,
    credit_card_approval_code varchar,
    currency_rate_id varchar,
    sub_total decimal(38, 9),
    tax_amt decimal(38, 9),
    freight decimal(38, 9),
    total_due decimal(38, 9),
    comment varchar,
    due_date timestamp,
    order_date timestamp,
    ship_date timestamp,
    last_modified timestamp,
    _file varchar,
    _file_row bigint,
    _loaded_at timestamp,
    _deleted_at timestamp
);

create table if not exists raw_ext.order_details_raw (
    sales_order_detail_id varchar,
    sales_order_id varchar,
    carrier_tracking_number varchar,
    order_qty integer,
    product_id integer,
    special_offer_id integer,
    unit_price decimal(38, 9),
    unit_price_discount decimal(38, 9),
    line_total decimal(38, 9),
    last_modified timestamp,
    _file varchar,
    _file_row bigint,
    _loaded_at timestamp,
    _deleted_at timestamp
);

create table if not exists raw_ext.chat_logs_raw (
    raw json,
    _file varchar,
    _file_row bigint,
    _loaded_at timestamp,
    _deleted_at timestamp
);

-- Upgrade warehouses of versions that had no tombstones.
alter table raw_ext.orders_raw add column if not exists _deleted_at timestamp;
alter table raw_ext.order_details_raw add column if not exists _deleted_at timestamp;
alter table raw_ext.chat_logs_raw add column if not exists _deleted_at timestamp;
