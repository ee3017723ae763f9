"""Tables as CSV files: exact numbers, headers of one style, and names that say what is inside. No Streamlit here."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd

_HEADERS = {
    "period": "Period (UTC)",
    "minute": "Minute (UTC)",
    "last": "Last (UTC)",
    "loaded_at": "Loaded (UTC)",
    "revenue": "Revenue (USD)",
    "average_order": "Average order (USD)",
}
_LONGEST_PART = 40
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a text that begins with one of these for a formula."""


def file_name(name: str, first: date | None = None, last: date | None = None, filters: Sequence[str] = ()) -> str:
    """Return a name such as `top-products-by-units_2026-03-01_2026-03-31_france.csv`.

    Args:
        filters: the chosen values of the filters.
    """
    parts = [name, *(day.isoformat() for day in (first, last) if day)]
    parts += [_slug(value) for value in filters] if len(filters) <= 3 else [f"{len(filters)}-filters"]
    return "_".join(parts) + ".csv"


def to_csv(frame: pd.DataFrame) -> bytes:
    """Return the frame as a CSV file: integers as integers, money with all its digits and at least two of them."""
    written = {place: _texts(frame.iloc[:, place]) for place in range(frame.shape[1])}
    headers = [_text(header(str(name))) for name in frame.columns]
    return pd.DataFrame(written).to_csv(index=False, header=headers).encode()


def header(name: str) -> str:
    """Return the header of a column: `First response minutes` for `first_response_minutes`. Names of values stay."""
    if not re.fullmatch(r"[a-z0-9_]+", name):
        return name
    return _HEADERS.get(name) or name.replace("_", " ").capitalize()


def in_dollars(frame: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return the frame with the headers of these columns saying that they are money: `Before (USD)` for `before`."""
    return frame.rename(columns={name: _HEADERS.get(name) or f"{header(name)} (USD)" for name in names})


def _texts(values: "pd.Series[Any]") -> list[str]:
    decimals = [value for value in values if isinstance(value, Decimal) and value.is_finite()]
    is_money = any(int(value.as_tuple().exponent) < 0 for value in decimals)
    moments = [value for value in values if isinstance(value, datetime) and not pd.isna(value)]
    has_times = any((moment.hour, moment.minute, moment.second) != (0, 0, 0) for moment in moments)
    return [_cell(value, is_money=is_money, has_times=has_times) for value in values]


def _cell(value: Any, *, is_money: bool, has_times: bool) -> str:
    if value is None or value is pd.NaT or (isinstance(value, float | Decimal) and value != value):
        return ""
    if isinstance(value, Decimal):
        return _exact(value, 2 if is_money else 0)
    if isinstance(value, float):
        return _exact(Decimal(repr(round(float(value), 6))), 0)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}" if has_times else f"{value:%Y-%m-%d}"
    return _text(value) if isinstance(value, str) else str(value)


def _exact(number: Decimal, decimals: int) -> str:
    """Return all significant digits, and at least so many decimals."""
    whole, _, fraction = f"{number:f}".partition(".")
    fraction = fraction.rstrip("0").ljust(decimals, "0")
    return f"{whole}.{fraction}" if fraction else whole


def _text(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value


def _slug(value: str) -> str:
    ascii_ = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode().lower()
    return "-".join(_words(ascii_))[:_LONGEST_PART].strip("-") or "other"


def _words(text: str) -> Iterable[str]:
    return re.findall(r"[a-z0-9]+", text)
