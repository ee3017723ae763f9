"""Judge the pipeline's health every minute beside the tasks, also while a build runs."""

import math
import threading
import time
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
from adventure.monitoring.health.rules import find_problems, lasting_problems
from adventure.monitoring.health.state import Observed, State
from adventure.monitoring.live import read_sources, read_state

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

    A metered warehouse is read after TASKS_INTERVAL_SEC. In between, what it showed then counts.

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
    whole_every = settings.tasks_interval_sec if open_report(settings).is_metered else 0.0

    def watch() -> None:
        pause, last, whole_at = FIRST_AFTER_SEC, None, -math.inf
        while not stop.wait(pause):
            pause = INTERVAL_SEC
            if time.monotonic() - whole_at >= whole_every or last is None:
                last, whole_at = check_health(settings, streams, listeners, observers), time.monotonic()
            else:
                check_health(settings, streams, listeners, observers, last)

    thread = threading.Thread(target=watch, name="health", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_STOP_WITHIN_SEC)


def check_health(
    settings: Settings,
    streams: Sequence[Stream],
    listeners: Sequence[Listener],
    observers: Sequence[Observer] = (),
    last: State | None = None,
) -> State | None:
    """Judge the pipeline once. Write what the sources show to the file that the dashboard reads.

    Args:
        last: look at the sources and the processor only; the rest is as in this state.

    Returns:
        the state of the whole pipeline when it was last read; None if it cannot be judged.
    """
    try:
        state = read_sources(settings, streams, _observed(last)) if last else read_state(settings, streams)
        write_observed(settings.observed_path, _observed(state))
        for observer in observers:
            observer(_observed(state))
        found = find_problems(state, lasting_problems(last) if last else ())
        problems = [each for each in found if each.kind != _UNJUDGED]
        for listener in listeners:
            listener(problems)
        return last or state
    except AdventureError as error:
        log.error(f"tasks: the pipeline's health was not judged: {error}")
        return None
    except Exception as error:
        # A bug here must not end the watch.
        log.exception(f"tasks: the pipeline's health was not judged: {type(error).__name__}: {error}")
        return None


def _observed(state: State) -> Observed:
    assert state.observed is not None, "the task server can ask the sources"
    return state.observed
