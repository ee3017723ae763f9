"""Which fields and documents of its collection a stream reads: one definition for extracts, checks and comparisons."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bson import json_util
from bson.errors import BSONError

from adventure.core.errors import SourceShapeError
from adventure.core.hashes import hash_of
from adventure.core.streams import Stream
from adventure.sources.mongo.keys import key_text

_OPTIONS = json_util.JSONOptions(tz_aware=False, tzinfo=None)


def shaped(document: dict[str, Any], stream: Stream) -> dict[str, Any]:
    """Return the document without the fields that the stream does not read, and with its hashes.

    A path such as `customer.mail` also leads through the elements of arrays.
    """
    if stream.columns:
        document = _picked(document, [path.split(".") for path in stream.columns])
    for path in stream.exclude:
        document = _changed(document, path.split("."), lambda fields, name: fields.pop(name))
    for path in stream.hash:
        document = _changed(document, path.split("."), _hash_field(stream.hash_secret))
    return document


def condition_of(stream: Stream) -> dict[str, Any]:
    """Return the query of the stream's `where`; empty if it has none.

    Raises:
        SourceShapeError: it is not a JSON object.
    """
    try:
        query = json_util.loads(stream.where or "{}", json_options=_OPTIONS)
    except (ValueError, TypeError, BSONError) as error:
        raise wrong_condition(stream, f"it is not JSON: {error}") from error
    if not isinstance(query, dict):
        raise wrong_condition(stream, "it is no JSON object")
    return query


def wrong_condition(stream: Stream, why: str) -> SourceShapeError:
    """Return the error for a `where` that cannot be used."""
    return SourceShapeError(
        f"stream {stream.name}: its where is no query on {stream.location}: {why}",
        f"Correct where of streams.{stream.name} in pipeline.toml; it is a MongoDB query as JSON",
    )


def under(condition: Mapping[str, Any], query: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the query for documents that fulfil both."""
    return {"$and": [condition, query]} if condition and query else query or condition


def _hash_field(key: bytes) -> Callable[[dict[str, Any], str], None]:
    def change(fields: dict[str, Any], name: str) -> None:
        if fields[name] is not None:
            fields[name] = hash_of(key_text(fields[name]), key)

    return change


def _changed(value: Any, path: Sequence[str], change: Callable[[dict[str, Any], str], object]) -> Any:
    """Return a copy of the value in which the field at the path is changed."""
    if isinstance(value, list):
        return [_changed(each, path, change) for each in value]
    if not isinstance(value, Mapping) or path[0] not in value:
        return value
    fields = dict(value)
    if path[1:]:
        fields[path[0]] = _changed(fields[path[0]], path[1:], change)
    else:
        change(fields, path[0])
    return fields


def _picked(value: Any, paths: Sequence[Sequence[str]]) -> Any:
    """Return only the fields at these paths, as MongoDB's own projection does."""
    if isinstance(value, list):
        return [_picked(each, paths) for each in value if isinstance(each, Mapping | list)]
    fields = {}
    for name, each in value.items():
        below = [path[1:] for path in paths if path[0] == name]
        if [] in below:
            fields[name] = each
        elif below and isinstance(each, Mapping | list):
            fields[name] = _picked(each, below)
    return fields
