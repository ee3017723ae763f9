"""Identify a MongoDB collection by its UUID, which differs even from that of another collection of the same name."""

from typing import Any

from bson import CodecOptions
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from adventure.core.watermark import Origin

_UNAUTHORIZED = 13


def collection_uuid(collection: "Collection[Any]", session: ClientSession | None = None) -> str | None:
    """Return the UUID in hexadecimal.

    None for a view, while there is no collection, if the user may not ask, or if the server gives no real one.
    """
    options: CodecOptions[dict[str, Any]] = CodecOptions()
    database = collection.database.with_options(codec_options=options)
    try:
        found = list(database.list_collections(filter={"name": collection.name}, session=session))
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise
        return None
    uuid = found[0].get("info", {}).get("uuid") if found else None
    # Servers that only speak MongoDB's protocol may give text, or the same value for every collection.
    return uuid.hex() if isinstance(uuid, bytes) and any(uuid) else None


def collection_origin(collection: "Collection[Any]", follows: bool) -> Origin:
    """Return the collection's origin; `follows` if it is read by its change stream."""
    uuid = collection_uuid(collection)
    return Origin(uuid and f"collection {uuid}", follows=follows)


def has_change_streams(hello: dict[str, Any]) -> bool:
    """Return whether a server with this `hello` answer is in a replica set, or is a router of a sharded cluster."""
    # A router has no set name; its `msg` is `isdbgrid`.
    return "setName" in hello or hello.get("msg") == "isdbgrid"
