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
from adventure.dashboard.sales.reviews import review_chart
from tests.dashboard.conftest import HOSTILE, checked

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


@pytest.mark.parametrize(
    ("end", "whole", "begun"),
    [("2026-03-31", [True, True, False], [False, True, True]), ("2026-03-30", [True] * 3, [False] * 3)],
)
def test_only_a_period_that_is_not_over_is_dashed(end: str, whole: list[bool], begun: list[bool]) -> None:
    rows = series(f"{pd.Timestamp(end) - pd.Timedelta(days=9):%Y-%m-%d}", end, "day")
    drawn = charts.sales_chart(rows, "revenue", "day", NOW, "light", "x")
    parts = {layer["mark"].get("strokeDash") is not None: layer for layer in drawn["layer"] if "line" in str(layer)}
    assert [parts[dashed]["transform"][0]["filter"] for dashed in (False, True)] == ["datum.whole", "datum.begun"]
    periods = drawn["datasets"]["periods"]
    assert (list(periods["whole"])[-3:], list(periods["begun"])[-3:]) == (whole, begun)
    assert list(drawn["datasets"]["running"]["text"]) == (["today, so far"] if any(begun) else [])


def sold(first: str, end: str, grain: Any) -> pd.DataFrame:
    return pd.concat([series(first, end, grain), series(first, end, grain).assign(segment="b")], ignore_index=True)


def changed(first: str, end: str, grain: Any, shape: Any) -> vega.Spec:
    """Return a chart of that time without its data."""
    rows = sold(first, end, grain)
    marks = charts.Marks(["unusual"], [NOW.date()]) if grain == "day" else None
    if shape == "sales":
        drawn = charts.sales_chart(rows, "revenue", grain, NOW, "light", "x", marks)
    elif shape == "chats":
        drawn = charts.chats_chart(rows, grain, NOW, "light", "x")
    else:
        drawn = review_chart(rows, grain, NOW, "light", "x")
    return {name: part for name, part in checked(drawn).items() if name != "datasets"}


@pytest.mark.parametrize("shape", ["sales", "chats", "reviews"])
def test_another_period_changes_the_data_of_a_chart_alone(shape: str) -> None:
    usual = changed("2026-03-02", "2026-03-31", "day", shape)
    assert changed("2025-04-01", "2026-03-31", "week", shape) == usual
    assert changed("2011-05-31", "2025-03-31", "month", shape) == usual
    assert changed("2026-03-31", "2026-03-31", "day", shape) == usual
    assert changed("2026-03-30", "2026-03-31 09:00", "hour", shape) == usual


def test_other_changes_of_the_same_segments_change_the_data_of_the_bars_alone() -> None:
    def bars(names: str, changes: list[int]) -> vega.Spec:
        rows = pd.DataFrame({"segment": list(names), "now": 9, "before": 1, "change": changes, "relative": 1.0})
        return checked(charts.contribution_chart(rows, "revenue", "light", "x"))

    one, other = bars("abc", [5, 3, -1]), bars("cab", [9_000, 8, 7])
    assert {**one, "datasets": None} == {**other, "datasets": None}
    assert list(other["datasets"]["changes"]["amount"]) == ["+$9.0k", "+$8", "+$7"]
    assert list(other["datasets"]["changes"]["rank"]) == [0, 1, 2]


@pytest.mark.parametrize(("now", "running"), [(NOW, [False, True]), (datetime(2026, 4, 2), [False, False])])
def test_the_bar_of_a_day_that_is_not_over_is_dashed(now: datetime, running: list[bool]) -> None:
    rows = pd.DataFrame({"period": pd.to_datetime(["2026-03-30", "2026-03-31"]), "orders": 3, "chats": 1})
    rows[["satisfaction", "resolution_hours"]] = 1.0
    drawn = charts.chats_chart(rows, "day", now, "light", "x")
    assert list(drawn["datasets"]["rows"]["running"]) == running


def test_other_lines_below_a_chart_change_its_data_alone() -> None:
    rows = pd.DataFrame({"segment": ["a", "b"], "now": 9, "before": 1, "change": [5, 3], "relative": 1.0})
    chart = charts.contribution_chart(rows, "revenue", "light", "x")
    one, other = (checked(vega.footed(chart, [name, HOSTILE], "light")) for name in ("Orders", "Units"))
    assert {**one, "datasets": None} == {**other, "datasets": None}
    assert list(other["datasets"]["changes"]["footer"]) == [f"Units\n{HOSTILE}", ""]
    assert other["height"] > chart["height"], "the lines take nothing from the bars"
    assert "footer" not in chart["datasets"]["changes"]


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


def test_a_dataset_keeps_its_name() -> None:
    rows = series("2026-03-02", "2026-03-30", "day")
    named = vega.named_data({"datasets": {"sold": rows}, "layer": [{"data": {"name": "sold"}}, {"data": rows}]})
    assert named == {"layer": [{"data": {"name": "sold"}}] * 2, "datasets": {"sold": rows}}


def test_the_tests_refuse_a_chart_that_the_schema_does_not_know() -> None:
    with pytest.raises(ValidationError):
        checked({"mark": {"type": "bar"}, "encoding": {"x": {"field": "a", "type": "quantitive"}}})
