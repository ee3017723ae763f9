"""Compare metrics, served on a real port during real cycles, with the sources; and check their documentation."""

import re
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from adventure.core.errors import ConfigError
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.demo.generator.run import backfill
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from adventure.processor.cycle import run_cycle
from adventure.processor.metrics import ProcessorMetrics
from adventure.processor.run import open_pipeline, process_forever, process_once
from adventure.tasks import server as tasks
from tests.waiting import until

OPERATIONS = (Path(__file__).parent.parent / "docs" / "operations.md").read_text(encoding="utf-8")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def scrape(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {name: float(value) for name, value in re.findall(r"^([a-z]\S*(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)}


@contextmanager
def running(job: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=job, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


@pytest.fixture
def measured(settings: Settings) -> Settings:
    return settings.model_copy(update={"metrics_port": free_port()})


def names(scraped: dict[str, float]) -> set[str]:
    found = {name.partition("{")[0] for name in scraped}
    return {re.sub(r"_(bucket|sum|count)$", "", n) for n in found if not n.endswith("_created") and "adventure" in n}


def test_the_processor_counts_the_rows_of_the_sources(
    measured: Settings, writer_settings: Settings, streams: tuple[Stream, ...]
) -> None:
    backfill(writer_settings, orders=50, days=5, seed=1)
    port = measured.metrics_port

    def job(stop: threading.Event) -> None:
        process_forever(measured, streams, interval=0.05, max_runtime=0, stop=stop)

    def staged(stream: str) -> float:
        try:
            return scrape(port).get(f'adventure_staged_rows_total{{stream="{stream}"}}', 0)
        except OSError:
            return 0

    with running(job):
        until(lambda: staged("orders") > 0)
        backfill(writer_settings, orders=40, days=5, seed=2)
        with psycopg.connect(measured.postgres_dsn) as connection:
            counts = {
                table: connection.execute(f"select count(*) from {table}").fetchone()  # type: ignore[arg-type]
                for table in ("orders", "order_details")
            }
        until(lambda: all(found and staged(table) >= found[0] for table, found in counts.items()))
        scraped = scrape(port)
        for table, found in counts.items():
            assert found is not None
            assert scraped[f'adventure_staged_rows_total{{stream="{table}"}}'] == found[0]
            assert scraped[f'adventure_staged_bytes_total{{stream="{table}"}}'] > 0
            assert 0 <= scraped[f'adventure_watermark_age_seconds{{stream="{table}"}}'] < 86400 * 10
        assert scraped['adventure_horizon_age_seconds{source="postgres"}'] >= 0
        assert scraped["adventure_cycle_seconds_count"] >= 2
        assert scraped["process_open_fds"] > 0
        undocumented = {name for name in names(scraped) if f"`{name}`" not in OPERATIONS}
        assert undocumented == set()
    with pytest.raises(OSError, match="refused"):
        scrape(port)


def test_a_failure_is_counted_for_its_stream(
    settings: Settings, writer_settings: Settings, streams: tuple[Stream, ...]
) -> None:
    with psycopg.connect(writer_settings.postgres_dsn, autocommit=True) as connection:
        connection.execute("alter table order_details rename to elsewhere")
    registry = CollectorRegistry()
    metrics = ProcessorMetrics(registry)
    with open_pipeline(settings, streams) as pipeline:
        for _ in range(2):
            metrics.cycle(run_cycle(pipeline), pipeline.state.watermarks, pipeline.streams, 0.1)
    failures = {
        (sample.labels["stream"], sample.labels["error"]): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "adventure_failures_total"
    }
    assert failures == {("order_details", "SourceShapeError"): 2}


def test_the_task_server_counts_runs_failures_and_waiting_windows(
    measured: Settings, streams: tuple[Stream, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConfigError("no")

    process_once(measured, streams)
    for name in ("load", "build"):
        monkeypatch.setattr(DuckDBWarehouse, name, fail)

    def job(stop: threading.Event) -> None:
        tasks.serve(measured, streams, interval=0.05, stop=stop)

    def in_a_row() -> float:
        try:
            return scrape(measured.metrics_port).get('adventure_task_failures_in_a_row{task="build"}', 0)
        except OSError:
            return 0

    with running(job):
        until(lambda: in_a_row() >= 2)
        scraped = scrape(measured.metrics_port)
    assert scraped['adventure_task_runs_total{outcome="failed",task="build"}'] >= 2
    assert scraped['adventure_windows_waiting{stream="orders"}'] == 0
    assert scraped['adventure_loaded_rows{stream="orders"}'] == 0
    assert {name for name in names(scraped) if f"`{name}`" not in OPERATIONS} == set()


def test_an_occupied_port_is_a_one_sentence_error(measured: Settings, streams: tuple[Stream, ...]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", measured.metrics_port))
        taken.listen()
        with pytest.raises(ConfigError, match=r"Metrics cannot be served on 127\.0\.0\.1:\d+: Address already in use"):
            process_forever(measured, streams, interval=1, max_runtime=1, stop=threading.Event())


def test_without_a_port_prometheus_is_not_imported() -> None:
    script = "import sys, adventure.processor.run, adventure.tasks.server; print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
