#!/usr/bin/env bash
# Do what the official image's entry point does: become the user postgres, create a cluster in an empty PGDATA, run the
# init scripts against a server that listens only on its socket, and then start the server.
set -euo pipefail
if [ "$(id -u)" = 0 ]; then
    chown postgres:postgres "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
    exec setpriv --reuid postgres --regid postgres --clear-groups "$0" "$@"
fi
export POSTGRES_USER=${POSTGRES_USER:-postgres}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # shellcheck disable=SC2086 # several arguments
    initdb --username="$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") ${POSTGRES_INITDB_ARGS:-}
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    PGUSER=$POSTGRES_USER pg_ctl --wait start -o "-c listen_addresses='' -p 5432"
    for script in /docker-entrypoint-initdb.d/*; do
        case $script in
            *.sh) if [ -x "$script" ]; then "$script"; else . "$script"; fi ;;
            *.sql) psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --file "$script" ;;
        esac
    done
    pg_ctl --mode=fast --wait stop
fi
exec "$@" -c listen_addresses='*'
