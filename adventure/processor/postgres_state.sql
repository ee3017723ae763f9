-- The role that keeps the watermarks: a schema of its own, and nothing else.
-- Run it in the database that STATE_DSN names as a superuser. Then give it a password: \password adventure_state in psql.
do $$
begin
    if not exists (select from pg_roles where rolname = 'adventure_state') then
        create role adventure_state login;
    end if;
    execute format('grant connect on database %I to adventure_state', current_database());
end
$$;

-- Named as the role: that is where an unqualified table of the role is made.
create schema if not exists adventure_state authorization adventure_state;
