"""Rows in the form that both warehouses' answers have in common."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any


def plain(
    rows: Sequence[Sequence[Any]], columns: list[tuple[str, str]], *, first_row: int = 0
) -> list[tuple[Any, ...]]:
    """The rows, sorted.

    Args:
        first_row: the number of a file's first row.
    """
    values = [
        _values(column, *described, first_row)
        for column, described in zip(zip(*rows, strict=True), columns, strict=False)
    ]
    return sorted(zip(*values, strict=True), key=str)


def _values(values: tuple[Any, ...], name: str, kind: str, first_row: int) -> list[Any]:
    if name.endswith("_loaded_at"):
        # Both warehouses loaded in the same order, at moments of their own.
        order = {stamp: place for place, stamp in enumerate(sorted({value for value in values if value}))}
        return [order.get(value) for value in values]
    if name == "_file_row":
        return [value - first_row for value in values]
    if kind.startswith("STRUCT"):
        return [value and [_line(line) for line in _parsed(value)] for value in values]
    if kind == "JSON":
        return [value and _parsed(value) for value in values]
    return list(values)


def _parsed(value: Any) -> Any:
    return json.loads(value, parse_float=Decimal) if isinstance(value, str) else value


def _line(line: dict[str, Any]) -> dict[str, Any]:
    """A line of an order, typed: in Snowflake those of the history are as their documents have them."""
    kinds: dict[str, Callable[[Any], Any]] = {
        "OrderQty": int,
        "UnitPrice": Decimal,
        "UnitPriceDiscount": Decimal,
        "LineTotal": Decimal,
        "ModifiedDate": lambda moment: datetime.fromisoformat(str(moment)),
    }
    return {key: None if value is None else kinds.get(key, str)(value) for key, value in line.items()}
