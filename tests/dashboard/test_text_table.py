"""A table of texts shows each message whole, and every value as text."""

import re
from datetime import datetime

import pandas as pd

from adventure.dashboard.text_table import text_table
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
