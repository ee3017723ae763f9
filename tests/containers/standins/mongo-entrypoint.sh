#!/usr/bin/env bash
# Takes mongod's command line as the official image does; the server behind it is always a replica set of one.
set -euo pipefail
if [ "$(id -u)" = 0 ]; then
    chown mongodb:mongodb /data/db
    exec setpriv --reuid mongodb --regid mongodb --clear-groups "$0" "$@"
fi
[ "$1" = mongod ] || exec "$@"
touch /tmp/empty.toml
# It tells its clients the address that it is bound to.
address=$(hostname --ip-address | cut -d ' ' -f 1)
exec /opt/mongo/bin/python -m secantus --config /tmp/empty.toml --host "$address" --port 27017 \
    --storage-path /data/db --sync-on-commit
