"""Leave fields out of a document and hash others, as `columns`, `exclude` and `hash` of a stream say."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adventure.core.hashes import hash_of
from adventure.core.streams import Stream


def shaped(document: dict[str, Any], stream: Stream, text_of: Callable[[Any], str]) -> dict[str, Any]:
    """Return the document without the fields that the stream does not read, and with its hashes.

    A path such as `customer.mail` also leads through the elements of arrays.

    Args:
        text_of: returns the text of a value that is hashed.
    """
    if stream.columns:
        document = _picked(document, [path.split(".") for path in stream.columns])
    for path in stream.exclude:
        document = _changed(document, path.split("."), lambda fields, name: fields.pop(name))
    for path in stream.hash:
        document = _changed(document, path.split("."), _hash_field(stream.hash_secret, text_of))
    return document


def _hash_field(key: bytes, text_of: Callable[[Any], str]) -> Callable[[dict[str, Any], str], None]:
    def change(fields: dict[str, Any], name: str) -> None:
        if fields[name] is not None:
            fields[name] = hash_of(text_of(fields[name]), key)

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
