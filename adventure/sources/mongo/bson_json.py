"""Convert one BSON document to one line of JSON, without any loss.

ObjectIds become their 24 digits, dates ISO-8601 text in UTC, Decimal128 text with every digit. Values without a form in
JSON keep MongoDB's extended JSON form, such as {"$binary": …}.

The driver decodes fast, but loses some information without an error: it keeps only the last of two equal keys, turns
a symbol into text and undefined into null. A decoded document is exact if and only if it encodes to the same bytes
again. The few other documents are walked byte by byte (`bson_walk`).
"""

import math
import re
from typing import Any

import bson
import orjson
from bson import Decimal128, Int64, ObjectId, json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError

from adventure.core.manifest import CURSOR_TEXT, KEY_TEXTS
from adventure.core.streams import Stream
from adventure.sources.mongo.bson_walk import CannotConvert, walk
from adventure.sources.mongo.cursors import cursor_to_add
from adventure.sources.mongo.keys import texts_to_keep, value_at
from adventure.sources.mongo.shape import shaped

OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
# Pass subclasses to `_extended`: Code is a subclass of str, and would become plain text.
_JSON = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_SUBCLASS
# The last two bytes of a double that is infinite or NaN. Other bytes may match too, which only costs a walk.
_MAYBE_NOT_FINITE = re.compile(rb"[\xf0-\xff][\x7f\xff]")


def decode(document: bytes) -> dict[str, Any]:
    """Return the document as Python values, without loss.

    Raises:
        CannotConvert: broken BSON, text that is not UTF-8, or a duplicate key.
    """
    try:
        decoded = bson.decode(document, OPTIONS)
        return decoded if bson.encode(decoded) == document else walk(document, OPTIONS)
    except (BSONError, UnicodeError, RecursionError, OverflowError) as error:
        raise CannotConvert(f"it cannot be decoded: {error}") from error


def to_json(document: dict[str, Any], raw: bytes) -> bytes:
    """Return the decoded document as JSON.

    Args:
        raw: its BSON, in which a cheap search shows whether it may hold a number that is not finite.

    Raises:
        CannotConvert: it holds a date outside the years 1 to 9999.
    """
    # The search takes as long as writing the JSON, so look for its bytes first; few documents have them.
    suspicious = (b"\x7f" in raw or b"\xff" in raw) and _MAYBE_NOT_FINITE.search(raw)
    value: Any = _marked(document) if suspicious else document
    try:
        return orjson.dumps(value, default=_extended, option=_JSON)
    except orjson.JSONEncodeError as error:
        raise CannotConvert(f"it cannot be written as JSON: {error.__cause__ or error}") from error


def document_line(document: dict[str, Any], raw: bytes, stream: Stream) -> bytes:
    """Return the staged line: the JSON of what the stream reads of the document.

    It has key and cursor as text, too, where SQL would misread them.

    Raises:
        CannotConvert: see `to_json` and `cursor_moment`; or a field of the key is missing or null, or the document has
            a member with a name that we add.
    """
    document = shaped(document, stream)
    for name in stream.key:
        if value_at(document, name) is None:
            raise CannotConvert(f"its key {name} is missing or null")
    for member in (KEY_TEXTS, CURSOR_TEXT):
        if member in document:
            raise CannotConvert(f"it has a member {member}, which Adventure uses")
    ours: dict[str, Any] = {}
    if texts := texts_to_keep(document, stream.key):
        ours[KEY_TEXTS] = texts
    if text := cursor_to_add(stream.cursor, value_at(document, stream.cursor)):
        ours[CURSOR_TEXT] = text
    return to_json(document | ours if ours else document, raw)


def _extended(value: Any) -> Any:
    """Return the JSON value of a type that orjson does not know."""
    if isinstance(value, ObjectId | Decimal128):
        return str(value)
    if isinstance(value, DatetimeMS):
        raise CannotConvert(f"it holds a date outside of the years 1 to 9999 ({int(value)} ms)")
    if isinstance(value, Int64):
        return int(value)
    # The scope of Code may hold NaN or infinities.
    return _marked(json_util.default(value))


def _marked(value: Any) -> Any:
    """Return the value with NaN and infinities in extended JSON, because orjson would write null for them."""
    if isinstance(value, dict):
        return {key: _marked(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_marked(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return {"$numberDouble": name}
    return value
