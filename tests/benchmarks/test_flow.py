"""Short runs of the flow's benchmarks: they run, and the timed work is correct. Durations are not tested."""

import json
from pathlib import Path

import psycopg
import pytest

from adventure.processor.cycle import run_cycle
from adventure.processor.run import open_pipeline
from benchmarks import first_load, load, steady_state, waiting
from benchmarks.results import Results  # type: ignore[attr-defined]
from benchmarks.sales_source import sales_source


@pytest.mark.slow
def test_first_load_stages_what_the_source_holds() -> None:
    figures = first_load.measure(orders=150, rounds=1).figures
    assert [figure.figure for figure in figures] == ["orders staged", "order_details staged", "peak memory"]
    assert all(figure.value > 0 for figure in figures)


@pytest.mark.slow
def test_first_load_notices_a_single_digit() -> None:
    with sales_source(orders=20) as sales:
        first_load.first_load(sales.settings, sales.streams)
        lines = sales.streams[1]
        first_load.check_values(sales, lines)
        with psycopg.connect(sales.server.dsn()) as connection:
            connection.execute(
                "update order_details set unit_price = unit_price + 1e-9"
                " where sales_order_detail_id = (select sales_order_detail_id from order_details limit 1)"
            )
        with pytest.raises(AssertionError, match="order_details: staged"):
            first_load.check_values(sales, lines)


@pytest.mark.slow
def test_first_load_compares_the_rows_of_all_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adventure.sources.postgres.snapshot.ROWS_A_WINDOW", 10)
    with sales_source(orders=30) as sales:
        with open_pipeline(sales.settings, sales.streams) as pipeline:
            report = run_cycle(pipeline)
        assert len(report.streams) > 2 * len(sales.streams)
        for stream in sales.streams:
            first_load.check_values(sales, stream)


@pytest.mark.slow
def test_steady_state_stages_each_batch_once_and_then_nothing() -> None:
    figures = steady_state.measure(history=50, orders=10, rounds=1).figures
    assert len(figures) == 5
    assert all(figure.value > 0 for figure in figures)


@pytest.mark.slow
def test_load_holds_what_was_staged() -> None:
    figures = load.measure(rows=3000, rounds=1).figures
    assert [figure.figure for figure in figures] == ["3,000 order lines loaded", "peak memory"]


def test_figures_are_written_with_ratio_and_goal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = Results("example")
    results.add("a copy", [3.0, 1.0, 2.0], yardstick=[1.0, 1.0, 4.0], goal=1.5)
    results.add("memory", [200], "MB", goal=250)
    results.write(tmp_path / "results" / "example.json")
    copy, memory = json.loads((tmp_path / "results" / "example.json").read_text())
    assert (copy["value"], copy["yardstick"], copy["ratio"], copy["runs"]) == (2.0, 1.0, 2.0, [3.0, 1.0, 2.0])
    assert (memory["value"], memory["ratio"], memory["goal"]) == (200, None, 250)
    missed, met = capsys.readouterr().out.splitlines()
    assert missed == "a copy: 2 s (3, 1, 2), 2.00 × the yardstick's 1 (1, 1, 4); goal ≤ 1.5: MISSED"
    assert met.endswith("goal ≤ 250: met")


def test_many_waiting_windows_are_loaded_and_removed() -> None:
    figures = waiting.measure(windows=12, rounds=1).figures
    assert [figure.figure for figure in figures][-1] == "12 windows listed"
    assert all(figure.value > 0 for figure in figures)
