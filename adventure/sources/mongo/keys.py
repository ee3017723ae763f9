"""Convert a document's key to text that shows its kind of value, and back.

| value | text |
|---|---|
| text | itself; as a JSON string if it would read as one of the kinds below |
| ObjectId | its 24 hexadecimal digits |
| whole number of any type | its digits: MongoDB takes 5, 5.0 and NumberLong(5) for the same key |
| boolean | `true`, `false` |
| everything else | MongoDB's canonical extended JSON, such as `{"$date":{"$numberLong":"0"}}` |

If SQL would read another text from the document's JSON, the staged document holds the text in `_adventure_key`
(`adventure.core.manifest.KEY_TEXTS`).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import Decimal128, Int64, ObjectId, json_util
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError

_EXTENDED = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL,
    tz_aware=False,
    tzinfo=None,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
_OBJECT_ID = re.compile(r"[0-9a-f]{24}")
_WHOLE = re.compile(r"-?\d{1,19}")
_LARGEST = 2**63


def value_at(document: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path such as `meta.updatedAt`, or None if there is none."""
    value: Any = document
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def key_text(value: Any) -> str:
    """Return the text of a key.

    Raises:
        TypeError, ValueError: the value has no form in extended JSON.
    """
    if isinstance(value, str) and type(value) is str:
        return json.dumps(value, ensure_ascii=False) if _reads_as_another_kind(value) else value
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, bool):
        return str(value).lower()
    if (whole := _whole(value)) is not None:
        return str(whole)
    return json_util.dumps(value, json_options=_EXTENDED, separators=(",", ":"), ensure_ascii=False)


def key_value(text: str) -> Any:
    """Return the value with this key text.

    Raises:
        ValueError: it is not a key's text. An earlier version may have written such texts.
    """
    if _OBJECT_ID.fullmatch(text):
        return ObjectId(text)
    if _WHOLE.fullmatch(text):
        return Int64(text)
    if text in ("true", "false"):
        return text == "true"
    if text[:1] not in ('"', "{", "["):
        return text
    try:
        value = json.loads(text) if text[0] == '"' else json_util.loads(text, json_options=_EXTENDED)
        # Earlier versions wrote the numbers of an object as JSON does.
        known = text in (key_text(value), _compact(json.loads(text)))
    except (ValueError, TypeError, ArithmeticError, BSONError) as error:
        raise ValueError(f"{text[:50]!r} is no key") from error
    if not known:
        raise ValueError(f"{text[:50]!r} is no key")
    return value


def with_keys(names: Sequence[str], keys: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    """Return the query for the documents with these keys. Texts that are not a key's text are left out."""
    values = []
    for key in keys:
        try:
            values.append([key_value(text) for text in key])
        except ValueError:
            continue
    if len(names) == 1:
        return {names[0]: {"$in": [value for (value,) in values]}}
    if not values:
        return {names[0]: {"$in": []}}
    return {"$or": [dict(zip(names, value, strict=True)) for value in values]}


def texts_to_keep(document: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """Return, by name, the texts of the key fields for which SQL would read another text from the document's JSON."""
    found = {}
    for name in names:
        value = value_at(document, name)
        if type(value) is str:
            if _reads_as_another_kind(value):
                found[name] = key_text(value)
        elif not isinstance(value, ObjectId | bool) and type(value) not in (int, Int64):
            found[name] = key_text(value)
    return found


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _reads_as_another_kind(text: str) -> bool:
    return bool(
        text[:1] in ('"', "{", "[") or text in ("true", "false") or _WHOLE.fullmatch(text) or _OBJECT_ID.fullmatch(text)
    )


def _whole(value: Any) -> int | None:
    """Return the value as a whole number if it is one, of any numeric type and within 64 bits; else None."""
    if isinstance(value, Decimal128):
        number = value.to_decimal()
        if not number.is_finite() or abs(number) >= _LARGEST:
            return None
        return int(number) if number == int(number) else None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and abs(value) < _LARGEST and value.is_integer():
        return int(value)
    return None
