"""Serve Prometheus metrics on METRICS_PORT. Where it is 0, nothing is imported and nothing is counted.

Counters count since the process started. docs/operations.md describes names and labels, and a test compares the two.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from adventure.core.clock import utc_now
from adventure.core.errors import ConfigError
from adventure.core.log import get_logger
from adventure.core.settings import Settings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Gauge

log = get_logger()


@contextmanager
def serving_metrics(settings: Settings) -> "Iterator[CollectorRegistry | None]":
    """Serve a registry while open; None where METRICS_PORT is 0.

    Raises:
        ConfigError: the port is taken, or METRICS_HOST is not an address of this machine.
    """
    if not settings.metrics_port:
        yield None
        return
    from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

    registry = CollectorRegistry()
    # Memory and open files of this process.
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(settings.metrics_port, settings.metrics_host, registry)
    except OSError as error:
        raise ConfigError(
            f"Metrics cannot be served on {settings.metrics_host}:{settings.metrics_port}: {error.strerror}",
            "Set METRICS_PORT to a free port, or to 0 to serve none",
        ) from error
    log.info(f"metrics: http://{settings.metrics_host}:{settings.metrics_port}/metrics")
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def track_age(gauge: "Gauge", since: datetime) -> None:
    """Make the gauge report the time since `since`, so that it also grows while nothing happens."""
    gauge.set_function(lambda: (utc_now() - since).total_seconds())
