"""Which fields and documents of its collection a stream reads: one definition for extracts, checks and comparisons."""

from collections.abc import Mapping
from typing import Any

from bson import json_util
from bson.errors import BSONError

from adventure.core.errors import SourceShapeError
from adventure.core.streams import Stream
from adventure.sources import fields
from adventure.sources.mongo.keys import key_text

_OPTIONS = json_util.JSONOptions(tz_aware=False, tzinfo=None)


def shaped(document: dict[str, Any], stream: Stream) -> dict[str, Any]:
    """Return the document without the fields that the stream does not read, and with its hashes."""
    return fields.shaped(document, stream, key_text)


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
