#!/usr/bin/env bash
# What the pipeline needs of a new PostgreSQL server: three roles that each may do one thing, two databases, and the
# tables of the live sales. The official image runs it once, on an empty volume.
set -euo pipefail

psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set sales="$SALES_PASSWORD" --set state="$STATE_PASSWORD" <<'SQL'
create role sales_app login password :'sales';
create role adventure_state login password :'state';
create database transactions owner sales_app;
create database transactions_state owner adventure_state;
SQL

# psql does not look at variables within $$: the role comes first, then its password.
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname transactions --file /adventure/postgres_reader.sql
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname transactions --set reader="$READER_PASSWORD" <<'SQL'
alter role adventure_reader password :'reader';
alter default privileges for role sales_app in schema public grant select on tables to adventure_reader;
grant create on schema public to sales_app;
set role sales_app;
\ir /adventure/tables.sql
SQL
