"""Select each PostgreSQL type and convert it to Arrow. Rows that cannot be converted exactly are rejected.

Types that Arrow does not know are selected as text, as PostgreSQL prints them. So are numerics and UUIDs, unless the
compiled decoder is installed: the server prints a numeric in a third of the time that ADBC's driver takes to do so.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from adventure.core import sql_text
from adventure.core.kernels import call, cast
from adventure.core.manifest import Column
from adventure.sources.postgres import decoder

_PLAIN = {
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "bool": pa.bool_(),
    "text": pa.string(),
    "varchar": pa.string(),
    "bpchar": pa.string(),
    "name": pa.string(),
    "bytea": pa.binary(),
}
_TIMESTAMP, _DATE = pa.timestamp("us"), pa.date32()
# PostgreSQL's range is 4713 BC to 294276 AD, and infinity. When the driver shifts the epoch, the far ends and the
# infinities wrap around to other far years. Every reader downstream understands the years 1 to 9999.
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_800
_LOW_CARDINALITY = (pa.int16(), pa.int32(), pa.bool_(), pa.string())

Converted = tuple[pa.Array, pa.Array | None]
"""A column as it is staged, and a mask of its rejected rows (None: none is rejected)."""


@dataclass(frozen=True)
class SourceColumn:
    """How one column is selected, converted and staged."""

    name: str
    expression: str
    """SQL that selects it; the name in it is quoted."""
    type: pa.DataType
    """The type of the staged column."""
    convert: Callable[[pa.Array], Converted]
    low_cardinality: bool
    """Whether dictionary encoding saves space."""
    reject_if: str = ""
    """SQL condition on table `t` that is true if `convert` rejects the value; empty if it never does."""
    reason: str = ""
    """The reason for the rejection, in words."""

    @property
    def column(self) -> Column:
        """The column's entry in window.json."""
        return Column(self.name, str(self.type))


def plan_column(name: str, type_name: str, typmod: int, override: str | None, *, utf8: bool = True) -> SourceColumn:
    """Return how a column of that PostgreSQL type is selected and converted.

    Args:
        type_name: `pg_type.typname`, for a domain that of its base type; empty outside of pg_catalog.
        typmod: `pg_attribute.atttypmod`; −1 when the type has no modifier.
        override: the stream's `types` entry for the column.
        utf8: whether the server guarantees that text is UTF-8; a server with SQL_ASCII does not.
    """
    quoted = sql_text.quoted(name)
    is_decoded = type_name in ("numeric", "uuid") and decoder.is_installed()
    text = quoted if is_decoded else f"{quoted}::text as {quoted}"
    if type_name in ("timestamp", "timestamptz", "date"):
        return _time_column(name, quoted, type_name)
    if type_name == "numeric" and (kind := _decimal_type(typmod, override)) is not None:
        reason = f"is no finite number that fits {kind}"
        return SourceColumn(
            name, text, kind, _exact_decimal(kind), False, _reject_decimal_if(f"t.{quoted}", kind), reason
        )
    kind = _PLAIN.get(type_name, pa.string())
    expression = quoted if type_name in _PLAIN else text
    dictionary = type_name in _PLAIN and kind in _LOW_CARDINALITY
    if kind == pa.string() and not utf8:
        reject_if = f"encode(convert_to(t.{quoted}::text, 'SQL_ASCII'), 'hex') !~ '{_UTF8_AS_HEX}'"
        return SourceColumn(name, expression, kind, _only_utf8, dictionary, reject_if, "is not text in UTF-8")
    return SourceColumn(name, expression, kind, _as_it_is(kind), dictionary)


_OUT_OF_YEARS = "is infinite or not within the years 1 to 9999"

# The byte sequences of RFC 3629, as hexadecimal digits.
_UTF8_AS_HEX = (
    "^([0-7].|(c[2-9a-f]|d.)[89ab].|e0[ab].[89ab].|(e[1-9abcef])([89ab].){2}|ed[89].[89ab]."
    "|f0[9ab].([89ab].){2}|f[123]([89ab].){3}|f48.([89ab].){2})*$"
)


def _time_column(name: str, quoted: str, type_name: str) -> SourceColumn:
    # A timestamptz is a point in time. Convert it to naive UTC, like every other timestamp here.
    expression = f"{quoted} at time zone 'utc' as {quoted}" if type_name == "timestamptz" else quoted
    kind, convert = (_DATE, _in_years_of_days) if type_name == "date" else (_TIMESTAMP, _in_years(1_000_000))
    zone = " 00:00+00" if type_name == "timestamptz" else ""
    reject_if = f"(t.{quoted} < '0001-01-01{zone}' or t.{quoted} >= '10000-01-01{zone}')"
    return SourceColumn(name, expression, kind, convert, False, reject_if, _OUT_OF_YEARS)


def _as_it_is(kind: pa.DataType) -> Callable[[pa.Array], Converted]:
    return lambda values: (cast(values, kind), None)


def _only_utf8(values: pa.Array) -> Converted:
    # Cast to bytes first: the driver labels it as text without checking.
    data = cast(values, pa.binary())
    try:
        return cast(data, pa.string()), None
    except pa.ArrowInvalid:
        rejected = pa.array([not _is_utf8(value) for value in data.to_pylist()])
        return cast(call("if_else", rejected, pa.scalar(None, data.type), data), pa.string()), rejected


def _is_utf8(value: bytes | None) -> bool:
    try:
        (value or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def _in_years(units_a_second: int) -> Callable[[pa.Array], Converted]:
    low, high = _FIRST_SECOND * units_a_second, _LAST_SECOND * units_a_second

    def convert(values: pa.Array) -> Converted:
        numbers = cast(values, _TIMESTAMP).view(pa.int64())
        return _within(numbers, low, high, _TIMESTAMP)

    return convert


def _in_years_of_days(values: pa.Array) -> Converted:
    return _within(cast(values, _DATE).view(pa.int32()), _FIRST_SECOND // 86_400, _LAST_SECOND // 86_400, _DATE)


def _within(numbers: pa.Array, low: int, high: int, kind: pa.DataType) -> Converted:
    if len(numbers) == numbers.null_count:
        return numbers.view(kind), None
    extremes = call("min_max", numbers)
    if extremes["min"].as_py() >= low and extremes["max"].as_py() < high:
        return numbers.view(kind), None
    below = call("less", numbers, pa.scalar(low, numbers.type))
    above = call("greater_equal", numbers, pa.scalar(high, numbers.type))
    rejected = call("coalesce", call("or", below, above), pa.scalar(False))
    return call("if_else", rejected, pa.scalar(None, numbers.type), numbers).view(kind), rejected


def _exact_decimal(kind: pa.DataType) -> Callable[[pa.Array], Converted]:
    def convert(values: pa.Array) -> Converted:
        try:
            return cast(values, kind), None
        except pa.ArrowInvalid:
            # At least one value does not fit. This is rare, so check the values one by one.
            exact = [_shortest(value, kind) for value in values.to_pylist()]
            converted = pa.array([text or None for text in exact], pa.string()).cast(kind)
            return converted, pa.array([text is None for text in exact])

    return convert


def _shortest(text: str | None, kind: pa.DataType) -> str | None:
    """Return the number without trailing zeros, which Arrow counts as digits; "" for NULL, None if it does not fit."""
    if text is None:
        return ""
    shortest = text.rstrip("0").rstrip(".") if "." in text else text
    try:
        pa.scalar(shortest or "0").cast(kind)
    except pa.ArrowInvalid:
        return None
    return shortest or "0"


def _reject_decimal_if(name: str, kind: pa.DataType) -> str:
    return (
        f"({name}::text in ('NaN', 'Infinity', '-Infinity') or {name} <> round({name}, {kind.scale})"
        f" or abs({name}) >= 1e{kind.precision - kind.scale}::numeric)"
    )


def _decimal_type(typmod: int, override: str | None) -> pa.DataType | None:
    """Return the decimal type that a numeric is staged as, or None for text.

    A numeric without a precision has up to 131,072 digits before the point and 16,383 after it; 1/3 has 20. Only text
    can hold all of its values.
    """
    if override == "text" or (override is None and typmod < 4):
        return None
    if override is None:
        precision, scale = (typmod - 4) >> 16, (typmod - 4) & 0x7FF
        # The scale is signed, in eleven bits: numeric(5,-2) counts hundreds.
        if scale >= 1024:
            precision, scale = precision + 2048 - scale, 0
        precision = max(precision, scale)
    else:
        found = re.fullmatch(r"decimal\((\d+),(\d+)\)", override)
        assert found is not None
        precision, scale = int(found[1]), int(found[2])
    return pa.decimal128(precision, scale) if 1 <= precision <= 38 and scale <= precision else None
