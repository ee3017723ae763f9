"""A table of texts shows each message whole, and every value as text."""

import re
from datetime import datetime

import pandas as pd
import streamlit as st

from adventure.dashboard.text_table import formatted, text_table
from tests.dashboard.conftest import HOSTILE


def test_messages_are_whole_and_escaped() -> None:
    frame = pd.DataFrame(
        {
            "task": ["load_orders", HOSTILE],
            "rows": [12345, 0],
            "ended": [datetime(2026, 3, 1, 9, 5), None],
            "message": ["word " * 400, None],
        }
    )
    headers = {name: name.capitalize() for name in frame.columns}
    drawn = text_table(frame, headers, HOSTILE, below=["message"])
    assert "<script" not in drawn
    cells = re.findall(r'data-column="(\w+)">(.*?)</(?:td|span)>', drawn)
    assert [(name, text.replace("<wbr>", "")) for name, text in cells[:4]] == [
        ("task", "load_orders"),
        ("rows", "12,345"),
        ("ended", "2026-03-01 09:05:00"),
        ("message", "word " * 400),
    ]
    assert len(cells) == 7, "an empty message has no line"


def test_missing_numbers_are_dashes_and_others_are_formatted() -> None:
    frame = pd.DataFrame({"period": ["Today"] * 2, "revenue": [-1234.0, None], "change": [None, 4.25], "n": [1200, 0]})
    number = st.column_config.NumberColumn
    columns = {
        "period": st.column_config.TextColumn("Period"),
        "revenue": number("Revenue", format="dollar"),
        "change": number("Change", format="%+.1f%%"),
        "n": number(format="localized"),
    }
    shown, headers, numbers = formatted(frame, columns)
    assert shown.to_numpy().tolist() == [["Today", "−$1,234", "–", "1,200"], ["Today", "–", "+4.2%", "0"]]
    assert headers == {"period": "Period", "revenue": "Revenue", "change": "Change", "n": "N"}
    assert text_table(shown, headers, "Sales", numbers=numbers).count('<td class="number"') == 6
