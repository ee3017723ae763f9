"""The task server: run the tasks that are due, again and again."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filelock import FileLock, Timeout

from adventure.core import heartbeat
from adventure.core.errors import AdventureError, AlreadyRunning, ConfigError, WarehouseRefused
from adventure.core.log import get_logger
from adventure.core.private import make_data_dir
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.results import Outcome, TaskRun
from adventure.destinations.warehouse import Ledger, Warehouse
from adventure.factory import open_report, open_stage, open_warehouse
from adventure.tasks.arrivals import staged, wait_for_windows
from adventure.tasks.graph import Task, bug_message, in_blocks, publish_report, run_one, task_graph
from adventure.tasks.metrics import TaskMetrics, task_metrics
from adventure.tasks.watch import watching_health

log = get_logger()


def serve(
    settings: Settings,
    streams: tuple[Stream, ...],
    *,
    interval: float,
    stop: threading.Event,
    on_arrival: bool = False,
) -> None:
    """Run the tasks that are due every `interval` seconds until `stop` is set.

    If the warehouse cannot be opened, try again in the next round: it may be restored, or another program may end.

    Args:
        on_arrival: do not wait for the rest of the interval when windows were staged.

    Raises:
        AlreadyRunning: another task server uses the same data folder.
        ConfigError: DATA_DIR cannot be used, a setting is wrong, or looking at the stages would cost credits.
        WarehouseRefused: Snowflake refuses the first sign-in.
    """
    if on_arrival and open_report(settings).is_metered:
        raise ConfigError(
            f"--on-arrival does not work with WAREHOUSE={settings.warehouse}: looking at its stages costs credits",
            "Leave it out, and set the interval with --every",
        )
    stage = open_stage(settings) if on_arrival else None
    with _only_server(settings), task_metrics(settings) as metrics:
        heartbeat.beat()
        server = None
        log.info(f"tasks: every {interval:g} s")
        problems, kept_logs = ([metrics.set_problems], [metrics.set_kept_logs]) if metrics else ([], [])
        with watching_health(settings, streams, problems, kept_logs):
            while not stop.is_set():
                begun = time.monotonic()
                known = staged(stage, streams) if stage else frozenset()
                try:
                    server = server or _Server.open(settings, streams)
                    _run_round(server, settings, streams, interval, metrics, stop)
                except AdventureError as error:
                    if server is None and isinstance(error, ConfigError | WarehouseRefused):
                        raise
                    log.error(f"tasks: {error} Trying again in {interval:g} s.")
                except Exception as error:
                    # A bug must not end the server for every stream.
                    log.exception(f"tasks: {bug_message(error)} Trying again in {interval:g} s.")
                pause = max(0.0, interval - (time.monotonic() - begun))
                heartbeat.beat(quiet_for=pause)
                if stage:
                    wait_for_windows(stage, streams, known, pause, stop)
                else:
                    stop.wait(pause)


@contextmanager
def _only_server(settings: Settings) -> Iterator[None]:
    """Hold the lock of the data folder for the block.

    Raises:
        AlreadyRunning: another task server holds it.
        ConfigError: DATA_DIR cannot be used.
    """
    make_data_dir(settings.data_dir)
    lock = FileLock(settings.data_dir / "tasks.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise AlreadyRunning(f"Another task server uses {settings.data_dir}", "Stop it first") from error
    except OSError as error:
        raise ConfigError(f"{lock.lock_file} cannot be written: {error.strerror or error}", "Check DATA_DIR") from error
    try:
        yield
    finally:
        lock.release()


def _run_round(
    server: "_Server",
    settings: Settings,
    streams: tuple[Stream, ...],
    interval: float,
    metrics: TaskMetrics | None,
    stop: threading.Event,
) -> None:
    """Run the tasks that are due, then write the report and the metrics."""
    for run in _run_due(server.warehouse, server.graph, server.outcomes, stop):
        if metrics:
            metrics.run(run)
    publish_report(server.warehouse, streams, interval=interval)
    if metrics:
        metrics.set_totals(server.warehouse.totals(streams), _waiting(settings, server.warehouse, streams))


@dataclass(frozen=True)
class _Server:
    """The state that the rounds of a task server share."""

    warehouse: Warehouse
    graph: tuple[Task, ...]
    outcomes: dict[str, Outcome]
    """The outcome of each task's last recorded run."""

    @classmethod
    def open(cls, settings: Settings, streams: tuple[Stream, ...]) -> "_Server":
        warehouse = open_warehouse(settings)
        graph = task_graph(settings, warehouse, streams)
        return cls(warehouse, graph, {run.name: run.outcome for run in warehouse.last_runs()})


def _waiting(settings: Settings, ledger: Ledger, streams: tuple[Stream, ...]) -> dict[str, int]:
    """Return the number of windows that are staged and not loaded, by stream."""
    stage = open_stage(settings)
    windows = {stream.name: stage.windows(stream.stage) for stream in streams}
    return {name: len(staged) - len(ledger.loaded(staged)) for name, staged in windows.items()}


def _run_due(
    warehouse: Warehouse, tasks: tuple[Task, ...], outcomes: dict[str, Outcome], stop: threading.Event
) -> Iterator[TaskRun]:
    """Run the tasks that are due. A run without effect is recorded only if it ends a series of failures.

    Args:
        outcomes: the outcome of each task's last recorded run; updated here.
    """
    ran: dict[str, Outcome] = {}

    def run(task: Task) -> TaskRun | None:
        needed = {ran[name] for name in task.needs if name in ran}
        if stop.is_set() or "failed" in needed or not (needed or task.is_due()):
            return None
        found = run_one(task)
        ran[task.name] = found.outcome
        return found

    for block in in_blocks(warehouse, tasks, run):
        yield from block
        recorded = [
            each
            for each in block
            if each.outcome == "failed"
            or each.rows
            or each.files
            or each.message
            or outcomes.get(each.name) != "succeeded"
        ]
        if recorded:
            warehouse.record_runs(*recorded)
            outcomes.update({each.name: each.outcome for each in recorded})
