"""The metrics of a stream of an API, served on a real port, equal what the API has and what reached the warehouse."""

import threading
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from adventure.core.clock import utc_now
from adventure.core.settings import Settings
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.processor.cycle import run_cycle
from adventure.processor.metrics import ProcessorMetrics
from adventure.processor.run import open_pipeline, process_forever
from adventure.tasks.server import serve
from tests.http.api import Api, answer
from tests.http.conftest import REVIEWS
from tests.test_metrics import free_port, running, scrape
from tests.waiting import until

HOUR_AGO = utc_now() - timedelta(hours=1)


@pytest.fixture
def measured(whole_settings: Settings) -> Settings:
    return whole_settings.model_copy(update={"metrics_port": free_port()})


def scraped(settings: Settings, name: str) -> float:
    """Return one figure; 0 while nothing is served."""
    try:
        return scrape(settings.metrics_port).get(name, 0)
    except OSError:
        return 0


def test_the_processor_counts_the_records_of_the_api(api: Api, measured: Settings) -> None:
    api.put_many(10, HOUR_AGO)
    api.records["r003"]["meta"] = {"changed": "never"}

    def job(stop: threading.Event) -> None:
        process_forever(measured, [REVIEWS], interval=0.05, max_runtime=0, stop=stop)

    with running(job):
        until(lambda: scraped(measured, 'adventure_staged_rows_total{stream="reviews"}') == 9)
        api.put_many(4, HOUR_AGO + timedelta(minutes=30), first=10)
        until(lambda: scraped(measured, 'adventure_staged_rows_total{stream="reviews"}') == 13)
        until(lambda: scraped(measured, "adventure_cycle_seconds_count") >= 3)
        found = scrape(measured.metrics_port)
    assert found['adventure_staged_rows_total{stream="reviews"}'] == 13
    assert found['adventure_staged_rejects_total{stream="reviews"}'] == 1
    assert found['adventure_windows_total{stream="reviews"}'] == 2
    assert found['adventure_staged_bytes_total{stream="reviews"}'] > 0
    # The newest record is half an hour old, and records are read up to the API's own time.
    assert 1700 < found['adventure_watermark_age_seconds{stream="reviews"}'] < 3600
    assert found['adventure_horizon_age_seconds{source="http"}'] < 60


@pytest.mark.parametrize(
    ("status", "error"), [(500, "SourceUnavailable"), (403, "SourceRefused"), (404, "SourceShapeError")]
)
def test_a_failure_of_the_api_is_counted_for_its_stream(api: Api, measured: Settings, status: int, error: str) -> None:
    registry = CollectorRegistry()
    metrics = ProcessorMetrics(registry)
    api.always = answer(b"{}", status)
    with open_pipeline(measured, [REVIEWS], retry_for=0) as pipeline:
        metrics.cycle(run_cycle(pipeline), pipeline.state.watermarks, pipeline.streams, 0.1)
    assert registry.get_sample_value("adventure_failures_total", {"stream": "reviews", "error": error}) == 1


def test_the_task_server_counts_what_was_loaded(api: Api, measured: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DuckDBWarehouse, "build", lambda *_, **__: "left out")
    api.put_many(10, HOUR_AGO)
    with open_pipeline(measured, [REVIEWS]) as pipeline:
        run_cycle(pipeline)

    def job(stop: threading.Event) -> None:
        serve(measured, (REVIEWS,), interval=0.05, stop=stop)

    with running(job):
        until(lambda: scraped(measured, 'adventure_loaded_rows{stream="reviews"}') == 10)
        found = scrape(measured.metrics_port)
    assert found['adventure_windows_waiting{stream="reviews"}'] == 0
    assert found['adventure_task_runs_total{outcome="succeeded",task="load_reviews"}'] >= 1
