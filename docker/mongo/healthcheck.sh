#!/usr/bin/env bash
# Healthy once the replica set of one has its primary. The first check initiates it: the server that the image starts for
# its initialisation knows no replica set, so that an init script cannot.
set -euo pipefail
mongosh --quiet --eval '
    try {
        rs.status()
    } catch (error) {
        if (error.codeName !== "NotYetInitialized") throw error
        rs.initiate({_id: "rs0", members: [{_id: 0, host: "mongo:27017"}]})
    }
    if (!db.hello().isWritablePrimary) quit(1)
'
