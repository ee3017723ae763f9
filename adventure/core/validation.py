"""Describe values that were refused, in sentences that name the setting and the form that it takes."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

FORMS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "datetime_from_date_parsing": "must be a time",
    "datetime_parsing": "must be a time",
    "datetime_type": "must be a time",
    "dataclass_type": "must be an object",
    "dict_type": "must be a table of keys",
    "extra_forbidden": "is not a key of this table",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be {ge} or more",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "json_invalid": "it is not JSON",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be {le} or less",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "missing": "is missing",
    "path_not_file": "must be the path of a file, and there is no such file",
    "path_type": "must be a path",
    "string_pattern_mismatch": "has characters that are not allowed; it must match {pattern}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "unexpected_keyword_argument": "is not known here",
    "too_long": "must have a length of at most {max_length}",
    "too_short": "must have a length of at least {min_length}",
}
"""The form that each kind of refusal asks for, by pydantic's name of the kind."""


def describe(error: ErrorDetails) -> str:
    """Return what is wrong with one value, to follow its name; never the value, which may be a secret."""
    if error["type"] == "value_error":
        return ": " + error["msg"].removeprefix("Value error, ")
    context: dict[str, Any] = error.get("ctx", {})
    return " " + FORMS.get(error["type"], "has a form that cannot be used").format(**context)


def faults_by_name(error: ValidationError) -> dict[str, str]:
    """Return what is wrong with each value, by its dotted name; the first reason where a value may take two forms."""
    faults: dict[str, str] = {}
    for each in error.errors():
        name = ".".join(str(part) for part in each["loc"] if not _is_alternative(part))
        faults.setdefault(name, describe(each))
    return faults


def _is_alternative(part: int | str) -> bool:
    """Return whether a part of a location is pydantic's name for one of the types that a value may have.

    Keys that users write are identifiers; pydantic writes `str`, `int` or `tuple[str, ...]`.
    """
    return isinstance(part, str) and (
        part in ("str", "int", "float", "bool") or not part.replace("-", "_").isidentifier()
    )
