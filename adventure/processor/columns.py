"""How each PostgreSQL type is selected, and carried into Arrow exactly or not at all.

Numerics and UUIDs are selected as text, which is what the driver would make of numerics anyway at twice the cost; types
that Arrow does not know are selected as PostgreSQL prints them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from adventure.stage.manifest import Column

UNCONSTRAINED_NUMERIC = "decimal(38,9)"
"""What a numeric without a precision is staged as, unless the stream's `types` say otherwise."""

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
# PostgreSQL reaches from 4713 BC to 294276 AD, and infinity; the driver's shift of the epoch wraps the far ends and the
# infinities around, to years that are as far out. Years 1 to 9999 are what every reader downstream understands.
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_800
_LOW_CARDINALITY = (pa.int16(), pa.int32(), pa.bool_(), pa.string())

Carried = tuple[pa.Array, pa.Array | None]
"""A column as it is staged, and which of its rows cannot be (None: all can)."""


@dataclass(frozen=True)
class SourceColumn:
    """A column on its way."""

    name: str
    expression: str
    """SQL that selects it; the name in it is quoted."""
    type: pa.DataType
    """Staged as."""
    carry: Callable[[pa.Array], Carried]
    reason: str
    """Why a row of it may have to be set aside."""
    low_cardinality: bool
    """Whether a dictionary pays."""

    @property
    def column(self) -> Column:
        """For window.json."""
        return Column(self.name, str(self.type))


def plan_column(name: str, type_name: str, typmod: int, override: str | None) -> SourceColumn:
    """How a column of that PostgreSQL type is carried.

    Args:
        type_name: `pg_type.typname`, of the base type where it is a domain.
        typmod: `pg_attribute.atttypmod`; −1 when the type has no modifier.
        override: the stream's `types` entry for the column.
    """
    quoted = '"' + name.replace('"', '""') + '"'
    if type_name in _PLAIN:
        kind = _PLAIN[type_name]
        return SourceColumn(name, quoted, kind, _as_it_is(kind), "", kind in _LOW_CARDINALITY)
    if type_name in ("timestamp", "timestamptz"):
        # A timestamptz is a moment; its wall clock in UTC is what every other timestamp here is.
        expression = quoted if type_name == "timestamp" else f"{quoted} at time zone 'utc'"
        return SourceColumn(name, f"{expression} as {quoted}", _TIMESTAMP, _in_years(1_000_000), _OUT_OF_YEARS, False)
    if type_name == "date":
        return SourceColumn(name, quoted, _DATE, _in_years_of_days, _OUT_OF_YEARS, False)
    text = f"{quoted}::text as {quoted}"
    if type_name == "numeric":
        kind = _decimal_type(typmod, override)
        if kind is not None:
            return SourceColumn(name, text, kind, _exact_decimal(kind), f"is no finite number that fits {kind}", False)
    return SourceColumn(name, text, pa.string(), _as_it_is(pa.string()), "", False)


_OUT_OF_YEARS = "is infinite or not within the years 1 to 9999"


def _as_it_is(kind: pa.DataType) -> Callable[[pa.Array], Carried]:
    return lambda values: (values if values.type == kind else values.cast(kind), None)


def _in_years(units_a_second: int) -> Callable[[pa.Array], Carried]:
    low, high = _FIRST_SECOND * units_a_second, _LAST_SECOND * units_a_second

    def carry(values: pa.Array) -> Carried:
        numbers = values.cast(_TIMESTAMP).view(pa.int64())
        return _within(numbers, low, high, _TIMESTAMP)

    return carry


def _in_years_of_days(values: pa.Array) -> Carried:
    return _within(values.cast(_DATE).view(pa.int32()), _FIRST_SECOND // 86_400, _LAST_SECOND // 86_400, _DATE)


def _within(numbers: pa.Array, low: int, high: int, kind: pa.DataType) -> Carried:
    if len(numbers) == numbers.null_count:
        return numbers.view(kind), None
    extremes = pc.min_max(numbers)
    if extremes["min"].as_py() >= low and extremes["max"].as_py() < high:
        return numbers.view(kind), None
    bad = pc.fill_null(pc.or_(pc.less(numbers, low), pc.greater_equal(numbers, high)), False)
    return pc.if_else(bad, pa.scalar(None, numbers.type), numbers).view(kind), bad


def _exact_decimal(kind: pa.DataType) -> Callable[[pa.Array], Carried]:
    def carry(values: pa.Array) -> Carried:
        try:
            return values.cast(kind), None
        except pa.ArrowInvalid:
            # One value does not fit, which is rare: find which, one by one.
            fits = [_fits(value, kind) for value in values]
            bad = pa.array([not fit for fit in fits])
            return pc.if_else(bad, pa.scalar(None, values.type), values).cast(kind), bad

    return carry


def _fits(value: pa.Scalar, kind: pa.DataType) -> bool:
    try:
        value.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _decimal_type(typmod: int, override: str | None) -> pa.DataType | None:
    """None where text alone can hold every value."""
    if override == "text":
        return None
    if override is None and typmod >= 4:
        precision, scale = (typmod - 4) >> 16, (typmod - 4) & 0x7FF
        # The scale is signed, in eleven bits: numeric(5,-2) counts hundreds.
        if scale >= 1024:
            precision, scale = precision + 2048 - scale, 0
        precision = max(precision, scale)
    else:
        found = re.fullmatch(r"decimal\((\d+),(\d+)\)", override or UNCONSTRAINED_NUMERIC)
        assert found is not None
        precision, scale = int(found[1]), int(found[2])
    return pa.decimal128(precision, scale) if 1 <= precision <= 38 and scale <= precision else None
