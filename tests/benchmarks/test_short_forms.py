"""Short runs of the longer benchmarks: they run and check the timed work. Durations are not tested."""

import json
import re
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.history import ensure_history
from adventure.processor.run import process_once
from adventure.tasks.graph import run_loads, run_task
from benchmarks import __main__ as runner
from benchmarks import build_growth, by_log, freshness, growth, http_load, mongo_load, reconcile, status
from benchmarks.plot import Panel, Series, draw

ROOT = Path(__file__).parent.parent.parent
POINT = re.compile(r'aria-roledescription="point" transform="translate\(([^,]+),([^)]+)\)"')
"""A point of a plot, with its place in the panel."""


@pytest.mark.slow
def test_mongo_load_stages_every_document(tmp_path: Path) -> None:
    figures = mongo_load.run(tmp_path, documents=2500, rounds=2).figures
    assert [len(figure.runs) for figure in figures] == [2, 2]
    assert all(figure.ratio for figure in figures)


@pytest.mark.slow
def test_http_load_stages_every_record(tmp_path: Path) -> None:
    figures = http_load.run(tmp_path, records=2500, rounds=1).figures
    assert [figure.figure for figure in figures] == ["2,500 records in memory", "2,500 records of the shop's API"]
    assert all(figure.ratio for figure in figures)


@pytest.mark.slow
def test_by_log_stages_every_change_in_both_modes() -> None:
    figures = by_log.measure(2000, rounds=2, commits=2).figures
    assert [figure.figure.partition(" by the ")[2].partition(",")[0] for figure in figures] == ["log"] * 5 + [
        "cursor"
    ] * 4
    assert [len(figure.runs) for figure in figures if figure.ratio] == [2, 2]
    assert all(figure.value > 0 for figure in figures)


@pytest.mark.slow
def test_growth_measures_each_size(tmp_path: Path) -> None:
    found = growth.measure([400, 1200], rounds=2, batch=20)
    assert [(each.lines, len(each.cycles)) for each in found] == [(400, 2), (1200, 2)]
    figures = growth.report(found).figures
    assert figures[-1].figure == "memory of a first load, largest against smallest"
    assert figures[-1].ratio == pytest.approx(found[1].load.memory_mb / found[0].load.memory_mb)
    growth.plot(found, tmp_path / "growth.svg")
    assert len(POINT.findall((tmp_path / "growth.svg").read_text(encoding="utf-8"))) == 3 * len(found)


@pytest.mark.slow
def test_build_growth_times_models_and_builds() -> None:
    figures = build_growth.measure([400], rounds=1).figures
    assert [figure.figure for figure in figures] == [
        "build of a batch on 400 live orders, by dbt",
        "build of a batch on 400 live orders",
        "models of a batch on 400 live orders, against 400",
    ]
    assert [len(figure.runs) for figure in figures] == [2, 1, 1]
    assert all(figure.value > 0 for figure in figures)


@pytest.mark.slow
def test_status_is_timed_with_the_databases_up_and_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "run_task", run_loads)  # A build takes long.
    assert [len(figure.runs) for figure in status.measure(50, rounds=1).figures] == [1, 1]


@pytest.mark.slow
def test_reconcile_compares_equal_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        "sys.argv", ["reconcile", "--rows", "500", "--rounds", "1", "--json", str(tmp_path / "figures.json")]
    )
    reconcile.main()
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures[0]["figure"].startswith("500 equal rows compared")


@pytest.mark.slow
def test_freshness_identifies_each_stamped_order_by_its_hour(
    settings: Settings, writer_settings: Settings, streams: tuple[Stream, ...]
) -> None:
    """Without the demo, the published copy contains exactly the committed orders after one pass."""
    ensure_history(settings)
    hours = [freshness.FIRST_HOUR + timedelta(hours=number) for number in range(3)]
    with psycopg.connect(writer_settings.postgres_dsn) as connection:
        for hour in hours:
            freshness.commit(connection, hour)
    process_once(settings, streams)
    run_task(settings, streams, None)
    watch = freshness.Watch(settings.published_path)
    watch.refresh()
    assert sorted(watch.seen) == hours


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: int) -> None:
    assert freshness.percentile([float(value) for value in range(100, 0, -1)], share) == expected


def test_a_plot_keeps_its_points_within_its_axes(tmp_path: Path) -> None:
    size = Series([1e5, 1e6, 1e7], [0.2, 3.0, 44.0])
    draw([Panel("time <&>", "s", size, proportional=True), Panel("flat", "MB", size)], "rows", tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text(encoding="utf-8")
    assert "time &lt;&amp;&gt;" in text
    found = POINT.findall(text)
    assert len(found) == 6
    assert all(0 <= float(x) <= 280 and 0 <= float(y) <= 190 for x, y in found)


@pytest.mark.slow
def test_a_partial_run_keeps_the_other_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "figures.json").write_text('{"other": {"figures": []}}')
    monkeypatch.setitem(runner.BENCHMARKS, "mongo_load", ["--documents", "200", "--rounds", "1"])
    assert runner.run(["mongo_load"], tmp_path) == []
    gathered = json.loads((tmp_path / "figures.json").read_text())
    assert list(gathered) == ["other", "mongo_load"]
    assert gathered["mongo_load"]["command"] == "python -m benchmarks.mongo_load --documents 200 --rounds 1"
    assert len(gathered["mongo_load"]["figures"]) == 2


def test_a_benchmark_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(runner.BENCHMARKS, "mongo_load", ["--no-such-argument"])
    assert runner.run(["mongo_load"], tmp_path) == ["mongo_load"]


def test_every_benchmark_of_a_run_has_a_section() -> None:
    sections = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    for name in runner.BENCHMARKS:
        assert f"]({name}.py)" in sections
