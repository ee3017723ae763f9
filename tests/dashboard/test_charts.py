"""Axes have evenly spaced labels, and a period that is not over is dashed."""

import itertools
from datetime import datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from jsonschema import ValidationError  # type: ignore[import-untyped]

from adventure.dashboard import vega
from adventure.dashboard.sales import charts, over_time
from tests.dashboard.conftest import checked

NOW = datetime(2026, 3, 31, 9, 30)


def series(first: str, end: str, grain: Any) -> pd.DataFrame:
    whole = over_time.periods(pd.Timestamp(first).date(), pd.Timestamp(end), grain)
    return pd.DataFrame({"period": whole, "segment": "a", "value": [Decimal(7)] * len(whole)})


@pytest.mark.parametrize(
    ("first", "end", "grain"),
    [
        ("2026-03-02", "2026-03-31", "day"),
        ("2026-03-29", "2026-03-31 09:00", "hour"),
        ("2025-04-01", "2026-03-31", "week"),
        ("2026-03-31", "2026-03-31", "day"),
    ],
)
def test_the_labels_of_a_time_axis_are_evenly_spaced(first: str, end: str, grain: Any) -> None:
    periods = list(series(first, end, grain)["period"])
    ticks = list(charts._ticks(periods, by_year=False))
    assert ticks[-1] == periods[-1]
    assert 1 <= len(ticks) <= 8
    assert len({late - early for early, late in itertools.pairwise(ticks)}) <= 1


def test_years_are_labelled_at_their_first_month() -> None:
    periods = list(over_time.periods(datetime(2011, 5, 31), datetime(2026, 3, 31), "month"))
    ticks = list(charts._ticks(periods, by_year=True))
    assert {tick.month for tick in ticks} == {1}
    assert len({late.year - early.year for early, late in itertools.pairwise(ticks)}) == 1


@pytest.mark.parametrize(("end", "dashes"), [("2026-03-31", 1), ("2026-03-30", 0)])
def test_only_a_period_that_is_not_over_is_dashed(end: str, dashes: int) -> None:
    rows = series("2026-03-02", end, "day")
    drawn = charts.sales_chart(rows, "revenue", "day", NOW, "light", "x")
    layers = [layer for layer in drawn["layer"] if layer["mark"]["type"] == "line"]
    found = [layer for layer in layers if "strokeDash" in layer["mark"]]
    assert len(found) == dashes
    if dashes:
        assert layers[0]["data"]["period"].max() < pd.Timestamp("2026-03-31")
        assert list(found[0]["data"]["period"]) == list(pd.to_datetime(["2026-03-30", "2026-03-31"]))


@pytest.mark.parametrize(("now", "running"), [(NOW, [False, True]), (datetime(2026, 4, 2), [False, False])])
def test_the_bar_of_a_day_that_is_not_over_is_dashed(now: datetime, running: list[bool]) -> None:
    rows = pd.DataFrame({"period": pd.to_datetime(["2026-03-30", "2026-03-31"]), "orders": 3, "chats": 1})
    rows[["satisfaction", "resolution_hours"]] = 1.0
    drawn = charts.chats_chart(rows, "day", now, "light", "x")
    assert list(drawn["data"]["running"]) == running


def test_a_frame_is_sent_once_however_many_layers_show_it() -> None:
    rows, other = series("2026-03-02", "2026-03-30", "day"), series("2026-03-02", "2026-03-30", "day")
    layers = [{"data": rows}, {"data": other}, {"data": rows}, {"mark": {"type": "rule"}}]
    named = vega.named_data({"layer": layers, "height": 3})
    assert [layer.get("data") for layer in named["layer"]] == [
        {"name": "data-0"},
        {"name": "data-1"},
        {"name": "data-0"},
        None,
    ]
    assert named["height"] == 3
    assert [named["datasets"][name] is frame for name, frame in (("data-0", rows), ("data-1", other))] == [True, True]


def test_the_tests_refuse_a_chart_that_the_schema_does_not_know() -> None:
    with pytest.raises(ValidationError):
        checked({"mark": {"type": "bar"}, "encoding": {"x": {"field": "a", "type": "quantitive"}}})
