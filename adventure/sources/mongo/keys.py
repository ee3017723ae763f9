"""From the text that the raw table shows of a document's key back to the document."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import bson
from bson import Decimal128, ObjectId, json_util


def with_keys(names: Sequence[str], keys: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    """The query for documents whose key may have one of these texts, of whatever kind the value is."""
    if len(names) == 1:
        return {names[0]: {"$in": [value for (text,) in keys for value in _values(text)]}}
    return {
        "$or": [{name: {"$in": list(_values(text))} for name, text in zip(names, key, strict=True)} for key in keys]
    }


def _values(text: str) -> Iterator[Any]:
    """The values whose text this may be."""
    yield text
    for parse in (ObjectId, json_util.loads, Decimal128, datetime.fromisoformat):
        with suppress(ValueError, TypeError, ArithmeticError, bson.errors.BSONError):
            yield parse(text)
