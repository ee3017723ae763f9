"""What an answer to a person's or an agent's own SELECT has in both warehouses: its limits, and its values as JSON."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any


@dataclass(frozen=True)
class Bounds:
    """Limits of one answer."""

    rows: int
    text: int | None = None
    """Characters; None for no limit."""
    seconds: float | None = None
    """How long the statement may run; None for no limit."""


@dataclass(frozen=True)
class Selected:
    """The answer to one SELECT."""

    columns: list[dict[str, str]]
    """`name` and `type` of each."""
    rows: list[list[Any]]
    """Values as JSON has them."""
    is_complete: bool
    """False if there are more rows than were returned."""
    published_at: datetime | None
    """When the tables were published, in naive UTC."""


def bounded(fetch: Callable[[], Sequence[Any] | None], bounds: Bounds) -> tuple[list[list[Any]], bool]:
    """Return the first rows, within the bounds, and whether these are all.

    Args:
        fetch: returns the next row; None after the last one.
    """
    rows: list[list[Any]] = []
    characters = 0
    while (row := fetch()) is not None:
        values = [as_json(value) for value in row]
        characters += len(str(values)) if bounds.text is not None else 0
        if len(rows) == bounds.rows or (bounds.text is not None and characters > bounds.text):
            return rows, False
        rows.append(values)
    return rows, True


def as_json(value: Any) -> Any:
    """Return a value as JSON. Decimals become text, because JSON's readers make floats of numbers."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, dict):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set):
        return [as_json(each) for each in value]
    return str(value)
