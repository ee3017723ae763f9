-- The tables of the shop's application, which hold the live sales. It is safe to run this file again.
create table if not exists orders (
    sales_order_id uuid primary key,
    revision_number integer,
    status integer,
    online_order_flag integer,
    sales_order_number text,
    purchase_order_number text,
    account_number text,
    customer_id integer,
    sales_person_id text,
    territory_id integer,
    bill_to_address_id integer,
    ship_to_address_id integer,
    ship_method_id integer,
    credit_card_id text,
    credit_card_approval_code text,
    currency_rate_id text,
    sub_total numeric,
    tax_amt numeric,
    freight numeric,
    total_due numeric,
    comment text,
    due_date timestamp,
    order_date timestamp,
    ship_date timestamp,
    last_modified timestamp not null
);
create index if not exists orders_last_modified on orders (last_modified);

create table if not exists order_details (
    sales_order_detail_id uuid primary key,
    sales_order_id uuid not null references orders,
    carrier_tracking_number text,
    order_qty integer,
    product_id integer,
    special_offer_id integer,
    unit_price numeric,
    unit_price_discount numeric,
    line_total numeric,
    last_modified timestamp not null
);
create index if not exists order_details_last_modified on order_details (last_modified);
create index if not exists order_details_sales_order_id on order_details (sales_order_id);

-- The reviews, which the shop's API serves. A schema of their own: the pipeline may read them by the API only.
create schema if not exists reviews_api;
create table if not exists reviews_api.reviews (
    review_id uuid primary key,
    product_id integer not null,
    customer_id integer not null,
    sales_order_id uuid,
    rating integer not null check (rating between 1 and 5),
    title text not null,
    body text not null,
    verified_purchase boolean not null,
    helpful_votes integer not null,
    status text not null check (status in ('published', 'deleted')),
    created_at timestamp not null,
    edited_at timestamp,
    updated_at timestamp not null,
    -- The order in which the API serves them.
    unique (updated_at, review_id),
    unique (sales_order_id, product_id)
);
