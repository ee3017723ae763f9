"""Examine a MongoDB source for `adventure doctor`: the server, its oplog, and each stream's collection."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pymongo.errors import OperationFailure

from adventure.core.errors import SourceError
from adventure.core.streams import Stream
from adventure.sources.mongo.origin import has_change_streams
from adventure.sources.mongo.shape import condition_of
from adventure.sources.probe import Finding

if TYPE_CHECKING:
    import pymongo

_SHORT = timedelta(hours=24)


def examine(client: "pymongo.MongoClient[Any]", streams: Sequence[Stream], label: str) -> Iterator[Finding]:
    """Yield findings; see `Probe`.

    Args:
        label: how findings name the source.

    Raises:
        PyMongoError: the server failed.
    """
    hello = client.admin.command("hello")
    version = client.server_info()["version"]
    if has_change_streams(hello):
        yield Finding("ok", label, f"server of version {version}, with change streams")
        yield from _oplog(client, label)
    else:
        yield Finding(
            "warning",
            label,
            f"server of version {version}, no replica set: deletions are not seen, and late documents within lookback",
            "Make it a replica set (one member is enough), or set a lookback and run `adventure reconcile --repair`",
        )
    for stream in streams:
        yield from _collection(client, stream)


def _oplog(client: "pymongo.MongoClient[Any]", label: str) -> Iterator[Finding]:
    try:
        log = client["local"]["oplog.rs"]
        first, last = (log.find_one(sort=[("$natural", order)]) for order in (1, -1))
        stats = client["local"].command("collStats", "oplog.rs")
    except OperationFailure:
        return
    if not first or not last or "ts" not in first:
        return
    hours = (last["ts"].time - first["ts"].time) / 3600
    found = f"its oplog reaches back {hours:,.1f} h"
    # While it is not full, it is only as old as the server.
    is_full = stats.get("maxSize") and stats.get("size", 0) > 0.9 * stats["maxSize"]
    if is_full and hours < _SHORT.total_seconds() / 3600:
        yield Finding("warning", label, found, "Enlarge the oplog if the processor may be stopped for longer")
    else:
        yield Finding("ok", label, found)


def _collection(client: "pymongo.MongoClient[Any]", stream: Stream) -> Iterator[Finding]:
    try:
        condition_of(stream)
    except SourceError as error:
        yield Finding("error", stream.name, error.problem, error.remedy)
        return
    database = client[stream.namespace]
    if stream.table not in database.list_collection_names(filter={"name": stream.table}):
        yield Finding(
            "warning", stream.name, f"there is no collection {stream.location} yet", "Correct namespace and table"
        )
        return
    indexes = database[stream.table].index_information().values()
    if any(index["key"][0][0] == stream.cursor for index in indexes):
        yield Finding("ok", stream.name, f"{stream.location}, with an index on {stream.cursor}")
    else:
        yield Finding(
            "warning",
            stream.name,
            f"no index of {stream.location} begins with {stream.cursor}",
            f"db.{stream.table}.createIndex({{{stream.cursor!r}: 1}})",
        )
