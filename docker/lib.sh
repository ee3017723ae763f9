# What docker/backup and docker/restore share; read by `.`, not run.
COMPOSE=${COMPOSE:-docker compose}
ENGINE=${ENGINE:-docker}
PROJECT=${COMPOSE_PROJECT_NAME:-adventure}
IMAGE=${PROCESSOR_IMAGE:-localhost/adventure-processor:0.1.0}
VOLUMES="postgres mongo stages warehouse"

# in_volume VOLUME ro|rw COMMAND…   runs a command of the image as root, with nothing but that volume at /volume.
in_volume() {
    local volume=$1 mode=$2
    shift 2
    $ENGINE run --rm --interactive --network none --user 0:0 --entrypoint "$1" \
        --volume "${PROJECT}_$volume:/volume:$mode" "$IMAGE" "${@:2}"
}
