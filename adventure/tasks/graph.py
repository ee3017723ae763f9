"""The task graph: load and clean up each stream, build the models when something was loaded, publish.

A load that fails keeps neither the other streams from the models nor what it did load from its cleanup; a build that
fails is not published. Every run is recorded, but for those in which a task server finds nothing to do.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from filelock import FileLock, Timeout

from adventure.core import heartbeat
from adventure.core.clock import utc_now
from adventure.core.errors import AdventureError, AlreadyRunning, ConfigError, WarehouseRefused
from adventure.core.log import get_logger
from adventure.core.private import make_data_dir
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.common.build import Scope
from adventure.destinations.warehouse import Moved, Outcome, TaskRun, Warehouse
from adventure.factory import open_stage, open_warehouse
from adventure.reconcile.recent import TASK as RECONCILE
from adventure.reconcile.recent import is_due, reconcile_recent
from adventure.tasks.metrics import task_metrics

log = get_logger()


@dataclass(frozen=True)
class Task:
    """A job, and the tasks after which it runs."""

    name: str
    after: tuple[str, ...]
    run: Callable[[], tuple[Moved, str]]
    """Does it; what was moved, and a message."""
    needs: tuple[str, ...] = ()
    """Those of `after` whose failure skips it."""
    is_due: Callable[[], bool] = lambda: True
    """Whether the schedule has to run it."""
    always: bool = True
    """Whether a run of the whole graph runs it although it is not due."""


def task_graph(
    settings: Settings, warehouse: Warehouse, streams: tuple[Stream, ...], scope: Scope | None = None
) -> tuple[Task, ...]:
    """All tasks; each stands behind those it depends on.

    Args:
        scope: of the build.
    """
    tasks = []
    # Lines before their orders: what arrives between the two loads then brings no line without its order.
    for stream in reversed(streams):
        load = f"load_{stream.name}"
        tasks.append(Task(load, (), partial(_load, warehouse, stream), is_due=warehouse.load_is_due))
        cleanup = partial(_cleanup, warehouse, stream)
        tasks.append(Task(f"cleanup_{stream.name}", (load,), cleanup, is_due=warehouse.load_is_due))
    loads = tuple(f"load_{stream.name}" for stream in streams)
    build = partial(_build, warehouse, scope)
    publish = partial(_publish, warehouse)
    tasks.append(Task("build", loads, build, is_due=warehouse.build_is_due))
    tasks.append(Task("publish", ("build",), publish, needs=("build",), is_due=warehouse.publish_is_due))
    # Last, so that the dashboard does not wait for it.
    due = partial(is_due, settings, warehouse)
    tasks.append(Task(RECONCILE, (), partial(_reconcile, settings, streams), is_due=due, always=False))
    return tuple(tasks)


def run_task(
    settings: Settings, streams: tuple[Stream, ...], name: str | None = None, *, scope: Scope | None = None
) -> list[TaskRun]:
    """Runs one task and then those that depend on it, or with None all; a task that fails is reported, not raised.

    Raises:
        ConfigError: there is no task of that name.
        WarehouseError: the warehouse cannot be opened.
    """
    warehouse = open_warehouse(settings)
    graph = task_graph(settings, warehouse, streams, scope)
    whole = tuple(task for task in graph if task.always or task.is_due()) if name is None else ()
    runs = _run(warehouse, whole or _with_dependants(graph, str(name)))
    _report(warehouse, streams, every=None)
    return runs


def serve(settings: Settings, streams: tuple[Stream, ...], *, every: float, stop: threading.Event) -> None:
    """Runs the graph every `every` seconds until `stop` is set. Builds only what is due.

    A warehouse that cannot be opened is tried again every round: it may be restored, or another program may end.

    Raises:
        AlreadyRunning: another task server works on the same warehouse.
        ConfigError: DATA_DIR cannot be used, or a setting is wrong.
        WarehouseRefused: Snowflake refuses the first sign-in.
    """
    make_data_dir(settings.data_dir)
    lock = FileLock(settings.data_dir / "tasks.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise AlreadyRunning(f"Another task server works on {settings.data_dir}", "Stop it first") from error
    except OSError as error:
        raise ConfigError(f"{lock.lock_file} cannot be written: {error.strerror or error}", "Check DATA_DIR") from error
    try:
        heartbeat.beat()
        server = None
        log.info(f"tasks: every {every:g} s")
        with task_metrics(settings) as metrics:
            while not stop.is_set():
                begun = time.monotonic()
                try:
                    server = server or _Server.open(settings, streams)
                    for run in _run_due(server.warehouse, server.graph, server.outcomes, stop):
                        if metrics:
                            metrics.run(run)
                    _report(server.warehouse, streams, every=every)
                    if metrics:
                        totals = server.warehouse.totals(streams)
                        metrics.set_totals(totals, _waiting(settings, server.warehouse, streams))
                except AdventureError as error:
                    if server is None and isinstance(error, ConfigError | WarehouseRefused):
                        raise
                    log.error(f"tasks: {error} Trying again in {every:g} s.")
                except Exception as error:
                    # A bug must not end the server for every stream.
                    log.exception(f"tasks: {_bug(error)} Trying again in {every:g} s.")
                pause = max(0.0, every - (time.monotonic() - begun))
                heartbeat.beat(quiet_for=pause)
                stop.wait(pause)
    finally:
        lock.release()


@dataclass(frozen=True)
class _Server:
    """What the rounds of a task server share. It is opened again until the warehouse can be used."""

    warehouse: Warehouse
    graph: tuple[Task, ...]
    outcomes: dict[str, Outcome]
    """Of each task's last recorded run."""

    @classmethod
    def open(cls, settings: Settings, streams: tuple[Stream, ...]) -> "_Server":
        warehouse = open_warehouse(settings)
        graph = task_graph(settings, warehouse, streams)
        return cls(warehouse, graph, {run.name: run.outcome for run in warehouse.last_runs()})


def _bug(error: Exception) -> str:
    return f"Unexpected {type(error).__name__}: {error}. This is a bug in Adventure; please report it."


def _report(warehouse: Warehouse, streams: tuple[Stream, ...], *, every: float | None) -> None:
    """Tells the dashboard how things stand. What was done is done, whether or not it can be told."""
    try:
        warehouse.publish_report(streams, every=every)
    except AdventureError as error:
        log.error(f"tasks: the dashboard's Pipeline page is not brought up to date: {error}")


def _waiting(settings: Settings, warehouse: Warehouse, streams: tuple[Stream, ...]) -> dict[str, int]:
    """Windows that are staged and not loaded, by stream."""
    stage = open_stage(settings)
    windows = {stream.name: stage.windows(stream.stage) for stream in streams}
    return {name: len(those) - len(warehouse.loaded(those)) for name, those in windows.items()}


def _with_dependants(graph: tuple[Task, ...], name: str) -> tuple[Task, ...]:
    if name not in {task.name for task in graph}:
        raise ConfigError(f"There is no task named {name}", f"Choose one of: {', '.join(task.name for task in graph)}")
    chosen = {name}
    for task in graph:
        if chosen & set(task.after):
            chosen.add(task.name)
    return tuple(task for task in graph if task.name in chosen)


def _run(warehouse: Warehouse, tasks: tuple[Task, ...]) -> list[TaskRun]:
    """Runs these tasks, due or not."""
    runs: dict[str, TaskRun] = {}
    for task in tasks:
        failed = [name for name in task.needs if name in runs and runs[name].outcome == "failed"]
        runs[task.name] = _skipped(task, f"after {failed[0]} failed") if failed else _execute(task)
        warehouse.record(runs[task.name])
    return list(runs.values())


def _run_due(
    warehouse: Warehouse, tasks: tuple[Task, ...], outcomes: dict[str, Outcome], stop: threading.Event
) -> Iterator[TaskRun]:
    """Runs what is due. An idle server writes nothing: a run without effect is recorded only as the end of failures.

    Args:
        outcomes: of each task's last recorded run; kept up to date here.
    """
    ran: dict[str, Outcome] = {}
    for task in tasks:
        if stop.is_set():
            return
        needed = {ran[name] for name in task.needs if name in ran}
        if "failed" in needed or not (needed or task.is_due()):
            continue
        run = _execute(task)
        ran[task.name] = run.outcome
        yield run
        if run.outcome == "failed" or run.rows or run.files or run.message or outcomes.get(task.name) != "succeeded":
            warehouse.record(run)
            outcomes[task.name] = run.outcome


def _execute(task: Task) -> TaskRun:
    heartbeat.beat()
    started_at = utc_now()
    outcome: Outcome = "succeeded"
    try:
        moved, message = task.run()
    except AdventureError as error:
        moved, message, outcome = Moved(), str(error), "failed"
        log.error(f"{task.name}: {error}", task=task.name)
    except Exception as error:
        # A bug in one task must not keep the others from running.
        moved, message, outcome = Moved(), _bug(error), "failed"
        log.exception(f"{task.name}: {message}", task=task.name)
    if outcome == "succeeded" and message:
        log.info(f"{task.name}: {message}", task=task.name)
    return TaskRun(task.name, started_at, utc_now(), outcome, moved.rows, moved.files, message)


def _skipped(task: Task, message: str) -> TaskRun:
    now = utc_now()
    return TaskRun(task.name, now, now, "skipped", 0, 0, message)


def _build(warehouse: Warehouse, scope: Scope | None) -> tuple[Moved, str]:
    return Moved(), warehouse.build(scope)


def _publish(warehouse: Warehouse) -> tuple[Moved, str]:
    return Moved(warehouse.publish()), ""


def _reconcile(settings: Settings, streams: tuple[Stream, ...]) -> tuple[Moved, str]:
    rows, message = reconcile_recent(settings, streams)
    return Moved(rows), message


def _load(warehouse: Warehouse, stream: Stream) -> tuple[Moved, str]:
    return warehouse.load(stream), ""


def _cleanup(warehouse: Warehouse, stream: Stream) -> tuple[Moved, str]:
    moved = warehouse.cleanup(stream)
    if moved.files:
        log.info(f"{stream.name}: removed {moved.files} loaded files from {stream.stage}", files=moved.files)
    return moved, ""
