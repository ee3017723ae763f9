"""Notes and targets come from their seeds, and are text."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from streamlit.testing.v1 import AppTest

from adventure.dashboard.sales import notes
from adventure.dashboard.sales.scope import Scope
from tests.dashboard.conftest import HOSTILE

LISTED = """
from datetime import date
from adventure.dashboard.sales import charts, trend
days = [date(2026, 3, number) for number in range(1, 8)]
unusual = [f"unusual {number};" for number in range(1, 8)]
trend.list_marks(charts.Marks(unusual, days, [(day, f"note {day.day};") for day in days[:6]]))
"""
MARCH = Scope(date(2026, 3, 1), date(2026, 3, 31))


@pytest.fixture
def connection() -> Any:
    with duckdb.connect() as opened:
        opened.execute("create table sales_annotations (annotation_day date, annotation varchar)")
        opened.execute("create table sales_targets (target_month date, revenue decimal(38, 9))")
        yield opened


def test_the_notes_of_the_chosen_days(connection: Any) -> None:
    rows = [(date(2026, 3, 9), HOSTILE), (date(2026, 3, 2), "Fair"), (date(2026, 4, 1), "April")]
    connection.executemany("insert into sales_annotations values (?, ?)", rows)
    found = notes.annotations(lambda statement, values: connection.execute(statement, values).df(), MARCH)
    assert found == [(date(2026, 3, 2), "Fair"), (date(2026, 3, 9), HOSTILE)]


@pytest.mark.parametrize(
    ("months", "targets"),
    [
        ([], {}),
        ([5], {"Month to date": 5}),
        ([4, 5, 6], {"Month to date": 5, "Quarter to date": 15}),
        ([4, 6], {}),
        (range(1, 13), {"Month to date": 5, "Quarter to date": 15, "Year to date": 78}),
    ],
)
def test_a_target_is_the_sum_of_all_its_months(connection: Any, months: Sequence[int], targets: dict[str, int]) -> None:
    rows = [(date(2026, month, 1), Decimal(month)) for month in months] + [(date(2025, 5, 1), Decimal(99))]
    connection.executemany("insert into sales_targets values (?, ?)", rows)
    found = notes.targets(lambda statement, values: connection.execute(statement, values).df(), date(2026, 5, 20))
    assert found == {name: Decimal(value) for name, value in targets.items()}


def test_a_day_is_a_sentence() -> None:
    day = notes.UnusualDay(date(2026, 3, 7), None, 34, 80.4, 129.8, "x" * 99, -41.2)
    assert notes.sentence(day) == (
        "7 March 2026: 34 orders, where 80 to 130 were expected;"
        f" most unusual is {'x' * 39}…, with 41 fewer than expected"
    )
    assert notes.sentence(notes.UnusualDay(date(2026, 3, 7), "France, online", 0, 3.0, 30.0)) == (
        "7 March 2026: France, online, 0 orders, where 3 to 30 were expected"
    )


def test_every_marked_day_is_named_below_the_chart() -> None:
    """The latest are listed, and the earlier ones are folded."""
    page = AppTest.from_string(LISTED).run()
    assert not page.exception
    [folded] = page.expander
    assert folded.label == "And 3 earlier"
    named = "\n".join(caption.value for caption in page.caption)
    assert len(page.caption) == 2
    for number in range(1, 8):
        assert named.count(f"unusual {number};") == 1
    for number in range(1, 7):
        assert named.count(f"note {number};") == 1
    earlier = folded.caption[0].value
    assert all(text in earlier for text in ("unusual 1;", "unusual 2;", "note 1;"))
