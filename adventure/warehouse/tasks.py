"""The task graph: load and clean up each stream, build the models when something was loaded, publish.

A failed task skips those that depend on it and no others. Every run is recorded.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from filelock import FileLock, Timeout

from adventure.errors import AdventureError, AlreadyRunning, ConfigError
from adventure.log import get_logger
from adventure.settings import Settings
from adventure.stage.manifest import utc_now
from adventure.streams import Stream
from adventure.warehouse import Moved, Outcome, TaskRun, Warehouse, open_warehouse

log = get_logger()


@dataclass(frozen=True)
class Task:
    """A job, and the tasks after which it runs."""

    name: str
    after: tuple[str, ...]
    run: Callable[[], tuple[Moved, str]]
    """Does it; what was moved, and a message."""


def task_graph(warehouse: Warehouse, streams: tuple[Stream, ...], *, full_refresh: bool = False) -> tuple[Task, ...]:
    """All tasks; each stands behind those it depends on."""
    tasks = []
    for stream in streams:
        load = f"load_{stream.name}"
        tasks.append(Task(load, (), partial(_load, warehouse, stream)))
        tasks.append(Task(f"cleanup_{stream.name}", (load,), partial(_cleanup, warehouse, stream)))
    loads = tuple(f"load_{stream.name}" for stream in streams)
    tasks.append(Task("build", loads, lambda: (Moved(), warehouse.build(full_refresh=full_refresh))))
    tasks.append(Task("publish", ("build",), lambda: (Moved(warehouse.publish()), "")))
    return tuple(tasks)


def run_task(
    settings: Settings, streams: tuple[Stream, ...], name: str | None = None, *, full_refresh: bool = False
) -> list[TaskRun]:
    """Runs one task and then those that depend on it, or with None all; a task that fails is reported, not raised.

    Raises:
        ConfigError: there is no task of that name.
        WarehouseError: the warehouse cannot be opened.
    """
    warehouse = open_warehouse(settings)
    graph = task_graph(warehouse, streams, full_refresh=full_refresh)
    return _run(warehouse, graph if name is None else _with_dependants(graph, name))


def serve(settings: Settings, streams: tuple[Stream, ...], *, every: float, stop: threading.Event) -> None:
    """Runs the graph every `every` seconds until `stop` is set. Builds only what is due.

    Raises:
        AlreadyRunning: another task server works on the same warehouse.
        WarehouseError: the warehouse cannot be opened at the start.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(settings.data_dir / "tasks.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise AlreadyRunning(f"Another task server works on {settings.data_dir}", "End it first") from error
    with lock:
        warehouse = open_warehouse(settings)
        graph = task_graph(warehouse, streams)
        log.info(f"tasks: {len(graph)} tasks, every {every:g} s")
        while not stop.is_set():
            begun = time.monotonic()
            try:
                _run(warehouse, graph, only_due=True, stop=stop)
            except AdventureError as error:
                log.error(f"tasks: {error} Trying again in {every:g} s.")
            stop.wait(max(0.0, every - (time.monotonic() - begun)))


def _with_dependants(graph: tuple[Task, ...], name: str) -> tuple[Task, ...]:
    if name not in {task.name for task in graph}:
        raise ConfigError(f"There is no task named {name}", f"Choose one of: {', '.join(task.name for task in graph)}")
    chosen = {name}
    for task in graph:
        if chosen & set(task.after):
            chosen.add(task.name)
    return tuple(task for task in graph if task.name in chosen)


def _run(
    warehouse: Warehouse, tasks: tuple[Task, ...], *, only_due: bool = False, stop: threading.Event | None = None
) -> list[TaskRun]:
    runs: dict[str, TaskRun] = {}
    for task in tasks:
        if stop is not None and stop.is_set():
            break
        before = {name: runs[name] for name in task.after if name in runs}
        failed = [name for name, run in before.items() if run.outcome == "failed" or run.message.startswith("after ")]
        if failed:
            run = _skipped(task, f"after {failed[0]} failed")
        elif _has_nothing_new(warehouse, task, before, only_due):
            run = _skipped(task, "nothing new")
        else:
            run = _execute(task)
        runs[task.name] = run
        warehouse.record(run)
    return list(runs.values())


def _has_nothing_new(warehouse: Warehouse, task: Task, before: dict[str, TaskRun], only_due: bool) -> bool:
    """A build that is not due on the schedule, and whatever follows a build that was skipped."""
    if "build" in before:
        return before["build"].outcome == "skipped"
    return only_due and task.name == "build" and not warehouse.build_is_due()


def _execute(task: Task) -> TaskRun:
    started_at = utc_now()
    outcome: Outcome = "succeeded"
    try:
        moved, message = task.run()
    except AdventureError as error:
        moved, message, outcome = Moved(), str(error), "failed"
        log.error(f"{task.name}: {error}", task=task.name)
    if outcome == "succeeded" and message:
        log.info(f"{task.name}: {message}", task=task.name)
    return TaskRun(task.name, started_at, utc_now(), outcome, moved.rows, moved.files, message)


def _skipped(task: Task, message: str) -> TaskRun:
    now = utc_now()
    return TaskRun(task.name, now, now, "skipped", 0, 0, message)


def _load(warehouse: Warehouse, stream: Stream) -> tuple[Moved, str]:
    return warehouse.load(stream), ""


def _cleanup(warehouse: Warehouse, stream: Stream) -> tuple[Moved, str]:
    moved = warehouse.cleanup(stream)
    if moved.files:
        log.info(f"{stream.name}: removed {moved.files} loaded files from {stream.stage}", files=moved.files)
    return moved, ""
