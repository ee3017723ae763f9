"""Judge the pipeline's health every minute beside the tasks, also while a build runs."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from adventure.core.errors import AdventureError
from adventure.core.log import get_logger
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.factory import open_report
from adventure.monitoring.alerts.send import Alerts
from adventure.monitoring.health.observed import write_observed
from adventure.monitoring.health.problem import Problem
from adventure.monitoring.health.rules import find_problems
from adventure.monitoring.health.state import Observed
from adventure.monitoring.live import read

log = get_logger()

FIRST_AFTER_SEC = 10.0
INTERVAL_SEC = 60.0
_STOP_WITHIN_SEC = 5.0

Listener = Callable[[list[Problem]], object]
Observer = Callable[[Observed], object]

_UNJUDGED = "tasks_overdue"
"""The task server runs: it is here. Its first report may still be due."""


@contextmanager
def watching_health(
    settings: Settings, streams: Sequence[Stream], listeners: Sequence[Listener], observers: Sequence[Observer] = ()
) -> Iterator[None]:
    """In the block, judge the pipeline every minute, give the problems to each listener, and send alerts.

    Args:
        observers: called with what the sources show.

    Raises:
        ConfigError: one of ALERT_URLS cannot be used.
    """
    if settings.alert_urls:
        # Last, so that a slow service does not delay the metrics.
        listeners = [*listeners, Alerts(settings, {_UNJUDGED}).send]
    stop = threading.Event()
    # Reading a metered warehouse every minute would keep it awake.
    interval = max(INTERVAL_SEC, settings.tasks_interval_sec) if open_report(settings).is_metered else INTERVAL_SEC

    def watch() -> None:
        pause = FIRST_AFTER_SEC
        while not stop.wait(pause):
            pause = interval
            check_health(settings, streams, listeners, observers)

    thread = threading.Thread(target=watch, name="health", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_STOP_WITHIN_SEC)


def check_health(
    settings: Settings, streams: Sequence[Stream], listeners: Sequence[Listener], observers: Sequence[Observer] = ()
) -> None:
    """Judge the pipeline once. Write what the sources show to the file that the dashboard reads."""
    try:
        found = read(settings, streams)
        write_observed(settings.observed_path, found.observed)
        for observer in observers:
            observer(found.observed)
        problems = [each for each in find_problems(found.state) if each.kind != _UNJUDGED]
        for listener in listeners:
            listener(problems)
    except AdventureError as error:
        log.error(f"tasks: the pipeline's health was not judged: {error}")
    except Exception as error:
        # A bug here must not end the watch.
        log.exception(f"tasks: the pipeline's health was not judged: {type(error).__name__}: {error}")
