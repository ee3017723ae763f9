-- The role that the processor reads with: SELECT, and pg_read_all_stats to see how far back transactions are open.
-- Run it in the source database as a superuser. Then give it a password: \password adventure_reader in psql.
do $$
begin
    if not exists (select from pg_roles where rolname = 'adventure_reader') then
        create role adventure_reader login;
    end if;
    execute format('grant connect on database %I to adventure_reader', current_database());
end
$$;

grant pg_read_all_stats to adventure_reader;
grant usage on schema public to adventure_reader;
grant select on all tables in schema public to adventure_reader;
-- Streams with mode = "append" read how far the sequences of their ids are.
grant select on all sequences in schema public to adventure_reader;
-- For tables and sequences made later, once for each role that makes them:
-- alter default privileges for role OWNER in schema public grant select on tables to adventure_reader;
-- alter default privileges for role OWNER in schema public grant select on sequences to adventure_reader;
