-- The raw tables of the history. Each load of the history replaces all of their rows. `raw` is a document as it was in the
-- file; text that is no JSON is kept as a JSON string, so that nothing is lost and a test can find it.
create schema if not exists ecom;
create schema if not exists new_mktg;
create schema if not exists adventure_db;

create table if not exists ecom.sales_order_raw (raw json, _file varchar, _file_row bigint, _loaded_at timestamp);
create table if not exists ecom.purchase_order_raw (raw json, _file varchar, _file_row bigint, _loaded_at timestamp);
create table if not exists ecom.email_campaign_raw (raw json, _file varchar, _file_row bigint, _loaded_at timestamp);
create table if not exists new_mktg.email_mktg_raw (raw json, _file varchar, _file_row bigint, _loaded_at timestamp);

create table if not exists adventure_db.customer_prod_db (
    customerid integer,
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
    territoryid integer,
    modifieddate timestamp,
    _file varchar,
    _file_row bigint,
    _loaded_at timestamp
);

create table if not exists adventure_db.product_prod_db (
    productid integer,
    productname varchar,
    productnumber varchar,
    color varchar,
    standardcost decimal(38, 9),
    listprice decimal(38, 9),
    size varchar,
    sizeunitmeasure varchar,
    weight decimal(38, 9),
    weightunitmeasure varchar,
    productline varchar,
    class varchar,
    style varchar,
    productcategory varchar,
    productsubcategory varchar,
    productmodel varchar,
    sellstartdate timestamp,
    sellenddate timestamp,
    discontinueddate timestamp,
    modifieddate timestamp,
    _file varchar,
    _file_row bigint,
    _loaded_at timestamp
);

create table if not exists adventure_db.inventory_prod_db (
    productid integer,
    locationid integer,
    shelf varchar,
    bin integer,
    quantity integer,
    _file varchar,
    _file_row bigint,
    _loaded_at timestamp
);

create table if not exists adventure_db.product_vendor_prod_db (
    productid integer,
    vendorid integer,
    averageleadtime integer,
    standardprice decimal(38, 9),
    lastreceiptcost decimal(38, 9),
    lastreceiptdate timestamp,
    minorderqty integer,
    maxorderqty integer,
    onorderqty integer,
    unitmeasurecode varchar,
    modifieddate timestamp,
    _file varchar,
    _file_row bigint,
    _loaded_at timestamp
);

create table if not exists adventure_db.vendor_prod_db (
    vendorid integer,
    accountnumber varchar,
    name varchar,
    creditrating integer,
    preferredvendorstatus boolean,
    activeflag boolean,
    purchasingwebserviceurl varchar,
    modifieddate timestamp,
    _file varchar,
    _file_row bigint,
    _loaded_at timestamp
);

-- When the history was loaded; NULL if it was not. All rows of one load have the same time.
create schema if not exists raw_ext;
create view if not exists raw_ext.last_history as
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
