#!/usr/bin/env bash
# Accept mongod's command line as the official image does; the server is always a replica set of one member.
set -euo pipefail
if [ "$(id -u)" = 0 ]; then
    chown mongodb:mongodb /data/db
    exec setpriv --reuid mongodb --regid mongodb --clear-groups "$0" "$@"
fi
[ "$1" = mongod ] || exec "$@"
touch /tmp/empty.toml
# The server announces the address that it listens on to its clients, so it must not be loopback.
address=$(hostname --ip-address | cut -d ' ' -f 1)
exec /opt/mongo/bin/python -m secantus --config /tmp/empty.toml --host "$address" --port 27017 \
    --storage-path /data/db --sync-on-commit
