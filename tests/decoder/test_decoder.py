"""The compiled decoder returns every value exactly, and refuses what is no row of its columns."""

import random
import struct
from collections.abc import Callable
from datetime import date, datetime
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("adventure_decoder")

from adventure_decoder import END as ENDED
from adventure_decoder import FULL, ROW, Decoder

from tests.decoder.fuzz import batches, finished, run
from tests.decoder.messages import END, HEADER, encoded, row

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False)
SIZES = st.integers(1, 38).flatmap(lambda precision: st.tuples(st.just(precision), st.integers(0, precision)))

VALUES: dict[str, tuple[st.SearchStrategy[Any], pa.DataType]] = {
    "bool": (st.booleans(), pa.bool_()),
    "int2": (st.integers(-(2**15), 2**15 - 1), pa.int16()),
    "int4": (st.integers(-(2**31), 2**31 - 1), pa.int32()),
    "int8": (st.integers(-(2**63), 2**63 - 1), pa.int64()),
    "float4": (st.floats(width=32), pa.float32()),
    "float8": (st.floats(), pa.float64()),
    "text": (TEXT, pa.string()),
    "bytea": (st.binary(max_size=40), pa.binary()),
    "date": (st.dates(date(1, 1, 1), date(9999, 12, 31)), pa.date32()),
    "timestamp": (st.datetimes(datetime(1, 1, 1)).map(lambda value: value.replace(fold=0)), pa.timestamp("us")),
    "uuid": (st.uuids().map(str), pa.string()),
}


made: Any = Decoder
"""The same, for calls that its types rule out."""


def decoded(kind: tuple[Any, ...], values: list[Any]) -> list[pa.RecordBatch]:
    """Decode one column."""
    messages = [row([encoded(kind[0], value)]) for value in values]
    return batches(Decoder([("c", *kind)]), [HEADER, *messages, END])


def column(kind: tuple[Any, ...], values: list[Any]) -> pa.Array:
    """Decode one column that needs one batch."""
    (batch,) = decoded(kind, values)
    batch.validate(full=True)
    return batch.column(0)


@pytest.mark.parametrize("kind", VALUES)
def test_each_value_arrives(kind: str) -> None:
    strategy, type_ = VALUES[kind]

    @given(st.lists(st.none() | strategy, max_size=30))
    def arrives(values: list[Any]) -> None:
        found = column((kind,), values)
        assert found.type == type_
        # The text of a float tells NaN and the sign of zero apart.
        assert list(map(repr, found.to_pylist())) == list(map(repr, values))

    arrives()


def is_short(value: Decimal) -> bool:
    """Whether it has few enough digits to be printed in full."""
    return -300 < value.adjusted() < 300 and len(value.as_tuple().digits) < 300


def text(value: Decimal) -> str:
    """Return the number as PostgreSQL prints it."""
    return f"{value:f}" if value else f"{abs(value):f}"


@given(st.lists(st.none() | NUMBERS.filter(is_short)))
def test_a_numeric_without_a_precision_is_printed_digit_for_digit(values: list[Decimal | None]) -> None:
    assert column(("numeric",), values).to_pylist() == [None if value is None else text(value) for value in values]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_numerics_that_are_no_numbers_are_printed(value: str) -> None:
    assert column(("numeric",), [Decimal(value)]).to_pylist() == [value]


@given(
    st.data(), st.integers(1, 38).flatmap(lambda precision: st.tuples(st.just(precision), st.integers(0, precision)))
)
def test_a_numeric_that_fits_becomes_a_decimal(data: st.DataObject, size: tuple[int, int]) -> None:
    precision, scale = size
    context = Context(prec=60)
    limit = 10**precision - 1
    number = st.integers(-limit, limit).map(lambda units: Decimal(units).scaleb(-scale, context))
    short = number.map(lambda value: value.normalize(context))
    values = data.draw(st.lists(st.none() | number | short, max_size=20))
    found = column(("decimal", precision, scale), values)
    assert found.type == pa.decimal128(precision, scale)
    assert found.to_pylist() == values


@given(SIZES, NUMBERS)
def test_any_numeric_is_a_decimal_or_text_as_it_fits(size: tuple[int, int], value: Decimal) -> None:
    precision, scale = size
    if not is_short(value):
        return
    units = value.scaleb(scale, Context(prec=1000))
    fits = units == units.to_integral_value(context=Context(prec=1000)) and abs(units) < 10**precision
    found = decoded(("decimal", precision, scale), [value])[-1].column(0)
    assert found.to_pylist() == [value if fits else text(value)]


@pytest.mark.parametrize("units", [10**38 - 1, 10**38, 10**39, 10**41, 10**42, 2**127, 2**128, 2**128 + 1])
@pytest.mark.parametrize("scale", [0, 1, 2, 3, 4, 37, 38])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_decimals(units: int, scale: int, sign: int) -> None:
    value = Decimal(sign * units).scaleb(-scale, Context(prec=60))
    found = decoded(("decimal", 38, scale), [value])[-1].column(0)
    assert found.to_pylist() == [value if units < 10**38 else text(value)]


def test_only_the_batch_with_a_value_that_does_not_fit_has_the_column_as_text() -> None:
    decoder = Decoder([("t", "text"), ("d", "decimal", 4, 2), ("b", "bool")])

    def message(number: str) -> bytes:
        return row([b"x", encoded("decimal", Decimal(number)), b"\1"])

    assert [decoder.feed(each) for each in (HEADER, message("1.5"), message("100"))] == [ROW, ROW, FULL]
    first = finished(decoder)
    assert [decoder.feed(message("100")), decoder.feed(message("2.50"))] == [ROW, ROW]
    second = finished(decoder)
    assert decoder.feed(message("3")) == ROW
    third = finished(decoder)
    assert [batch.column("d").to_pylist() for batch in (first, second, third)] == [
        [Decimal("1.50")],
        ["100", "2.50"],
        [Decimal("3.00")],
    ]
    assert [batch.column("b").to_pylist() for batch in (first, second, third)] == [[True], [True, True], [True]]


def test_infinite_and_far_times_wrap_around_as_in_adbc() -> None:
    far = [2**63 - 1, -(2**63), 0]
    messages = [row([struct.pack("!q", each), struct.pack("!i", each >> 32 if each else 0)]) for each in far]
    (batch,) = batches(Decoder([("t", "timestamp"), ("d", "date")]), [HEADER, *messages, END])
    epoch = 946_684_800_000_000
    assert batch.column("t").view(pa.int64()).to_pylist() == [-(2**63) + epoch - 1, -(2**63) + epoch, epoch]
    assert batch.column("d").view(pa.int32()).to_pylist() == [-(2**31) + 10_956, -(2**31) + 10_957, 10_957]


def test_a_value_of_megabytes_and_many_rows_arrive() -> None:
    values = ["é" * 1_000_000, "", None, *map(str, range(100_000))]
    assert column(("text",), values).to_pylist() == values


def test_the_header_may_come_with_the_first_row_or_alone() -> None:
    message = row([b"a"])
    for messages in ([HEADER + message, END], [HEADER, message, END]):
        assert batches(Decoder([("c", "text")]), messages)[0].to_pydict() == {"c": ["a"]}
    assert batches(Decoder([("c", "text")]), [HEADER + END])[0].to_pydict() == {"c": []}


@pytest.mark.parametrize(
    ("kind", "message", "said"),
    [
        ("int4", b"", "no header"),
        ("int4", b"PGCOPY\n\xff\r\n\0\0\0\0\1\0\0\0\0", "unknown kind"),
        ("int4", HEADER[:-1] + b"\4", "unknown kind"),
        ("int4", HEADER + b"\0", "the row is empty"),
        ("int4", HEADER + row([b"1234", b""]), "another number of columns"),
        ("int4", HEADER + row([b"1234"])[:-1], "column c: the row ends within it"),
        ("int4", HEADER + row([b"1234"])[:4], "column c: the row ends before it"),
        ("int4", HEADER + row([b"1234"]) + b"x", "more bytes than columns"),
        ("int4", HEADER + END + b"x", "bytes after the end"),
        ("int4", HEADER + struct.pack("!hi", 1, -2), "a negative length"),
        ("int4", HEADER + struct.pack("!hi", 1, 2**31 - 1), "the row ends within it"),
        ("int4", HEADER + row([b"123"]), "no value of its type"),
        ("int8", HEADER + row([b"1234"]), "no value of its type"),
        ("bool", HEADER + row([b"\2"]), "no value of its type"),
        ("uuid", HEADER + row([b"\2"]), "no value of its type"),
        ("numeric", HEADER + row([b"\2"]), "no value of its type"),
        ("numeric", HEADER + row([struct.pack("!hhHhH", 1, 0, 0, 0, 10_000)]), "no value of its type"),
        ("numeric", HEADER + row([struct.pack("!hhHhH", 2, 0, 0, 0, 1)]), "no value of its type"),
        ("numeric", HEADER + row([struct.pack("!hhHh", -1, 0, 0, 0)]), "no value of its type"),
        ("numeric", HEADER + row([struct.pack("!hhHh", 0, 0, 0x1000, 0)]), "no value of its type"),
        ("numeric", HEADER + row([struct.pack("!hhHH", 0, 0, 0, 0x4000)]), "no value of its type"),
    ],
)
def test_what_is_no_row_is_refused(kind: str, message: bytes, said: str) -> None:
    decoder = Decoder([("c", kind)])
    with pytest.raises(ValueError, match=said):
        decoder.feed(message)
    for again in (lambda: decoder.feed(HEADER), decoder.finish):
        with pytest.raises(ValueError, match="failed before"):
            again()


def test_nothing_follows_the_end() -> None:
    decoder = Decoder([("c", "int4")])
    assert decoder.feed(HEADER + END) == ENDED
    with pytest.raises(ValueError, match="a message after the end"):
        decoder.feed(row([b"1234"]))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: made([("c", "money")]), ValueError),
        (lambda: made([("c", "decimal", 39, 0)]), ValueError),
        (lambda: made([("c", "decimal", 3, 4)]), ValueError),
        (lambda: made([("c", "decimal")]), ValueError),
        (lambda: made([("c\0", "text")]), ValueError),
        (lambda: made(["ct"]), TypeError),
        (lambda: made([("c",)]), TypeError),
        (lambda: made(1), TypeError),
        (lambda: made(), TypeError),
        (lambda: made([("c", "text")]).feed("text"), TypeError),
        (lambda: made([("c", "text")]).fetch(0, 0, 0, 0), ValueError),
    ],
)
def test_a_wrong_call_is_an_error(make: Callable[[], Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        make()


def test_damaged_messages_are_refused_or_decoded() -> None:
    counts = run(60, seed=3, limit=1500)
    assert counts["refused"] > 300
    assert counts["decoded"] > 300


def test_bytes_of_chance_are_refused() -> None:
    source = random.Random(5)
    for _ in range(3000):
        decoder = Decoder([("a", "text"), ("b", "numeric"), ("c", "decimal", 9, 3)])
        with pytest.raises(ValueError, match=r"row|header"):
            decoder.feed(HEADER + struct.pack("!h", 3) + source.randbytes(source.randrange(60)))


def test_columns_of_a_table_without_columns() -> None:
    (batch,) = batches(Decoder([]), [HEADER, row([]), row([]), END])
    assert (batch.num_rows, batch.num_columns) == (2, 0)
