"""CSV files have exact numbers, headers of one style, and names that say what is inside."""

from datetime import date, datetime
from decimal import Decimal

import pandas as pd
import pytest

from adventure.dashboard import exports


def test_numbers_are_exact_and_counts_are_integers() -> None:
    frame = pd.DataFrame(
        {
            "period": [datetime(2026, 3, 1), datetime(2026, 3, 2)],
            "revenue": [Decimal("1234567890123.123456000"), Decimal(0)],
            "orders": [Decimal(12), Decimal(0)],
            "units": [3, 4],
            "satisfaction": [4.25, None],
            "United States": [Decimal("-5.100000000"), None],
        }
    )
    assert exports.to_csv(frame).decode().splitlines() == [
        "Period (UTC),Revenue (USD),Orders,Units,Satisfaction,United States",
        "2026-03-01,1234567890123.123456,12,3,4.25,-5.10",
        "2026-03-02,0.00,0,4,,",
    ]


def test_headers_say_which_numbers_are_money() -> None:
    frame = pd.DataFrame(
        {"before": [Decimal("5.00")], "online": [1], "United States": [2], "revenue": [3], "share": [1]}
    )
    named = exports.in_dollars(frame, ("before", "online", "United States", "revenue"))
    assert exports.to_csv(named).decode().splitlines()[0] == (
        "Before (USD),Online (USD),United States (USD),Revenue (USD),Share"
    )


def test_a_text_is_no_formula_in_a_spreadsheet() -> None:
    frame = pd.DataFrame({"product": ["=HYPERLINK(1)", "-1+2", 'a, "b"'], "=SUM(A1)": [-1, 2, 3]})
    assert exports.to_csv(frame).decode().splitlines() == [
        "Product,'=SUM(A1)",
        "'=HYPERLINK(1),-1",
        "'-1+2,2",
        '"a, ""b""",3',
    ]


@pytest.mark.parametrize(
    ("filters", "name"),
    [
        ((), "top_2026-03-01_2026-03-31.csv"),
        (("United States", "online"), "top_2026-03-01_2026-03-31_united-states_online.csv"),
        (("Österreich/../" + "x" * 90,), f"top_2026-03-01_2026-03-31_osterreich-{'x' * 29}.csv"),
        (("日本",), "top_2026-03-01_2026-03-31_other.csv"),
        (tuple("abcd"), "top_2026-03-01_2026-03-31_4-filters.csv"),
    ],
)
def test_a_file_name_has_the_period_and_the_filters(filters: tuple[str, ...], name: str) -> None:
    assert exports.file_name("top", date(2026, 3, 1), date(2026, 3, 31), filters) == name
