"""The task graph: load and clean up each stream, build the models when rows were loaded, publish them, and reconcile.

A failed load blocks neither the other streams nor the cleanup of the windows that it did load. A failed build is not
published. Every run is recorded, except those in which the task server finds nothing to do; a command that is killed
may leave the short loads and cleanups of its last second unrecorded.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from adventure.core import heartbeat
from adventure.core.clock import utc_now
from adventure.core.errors import AdventureError, ConfigError
from adventure.core.log import get_logger
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.results import LoadResult, Outcome, TaskRun
from adventure.destinations.warehouse import Builder, Loader, Publisher, Scope, Warehouse
from adventure.factory import open_warehouse
from adventure.reconcile.recent import TASK as RECONCILE
from adventure.reconcile.recent import is_due, reconcile_recent

log = get_logger()

KEPT_OPEN_SEC = 1.0
"""For how long many short tasks keep DuckDB's file open, which takes longer to open than most of them run."""
YIELDED_SEC = 0.06
"""How long it is closed then: longer than filelock waits between two attempts (0.05 s)."""


@dataclass(frozen=True)
class Task:
    """A function and its place in the graph."""

    name: str
    after: tuple[str, ...]
    """The tasks after which it runs."""
    run: Callable[[], tuple[LoadResult, str]]
    """Returns the rows and files it processed, and a message."""
    needs: tuple[str, ...] = ()
    """The tasks of `after` whose failure skips it."""
    is_due: Callable[[], bool] = lambda: True
    """Returns whether the task server has to run it."""
    always: bool = True
    """Whether a run of the whole graph includes it even if it is not due."""
    shares: bool = False
    """Whether it may run while the warehouse is kept open for the tasks before and after it."""


def task_graph(
    settings: Settings, warehouse: Warehouse, streams: tuple[Stream, ...], scope: Scope | None = None
) -> tuple[Task, ...]:
    """Return all tasks; each follows the tasks on which it depends.

    Args:
        scope: the least scope of the build.
    """
    tasks = _load_tasks(warehouse, streams)
    loads = tuple(f"load_{stream.name}" for stream in streams)
    build = partial(_build, warehouse, streams, scope)
    publish = partial(_publish, warehouse)
    tasks.append(Task("build", loads, build, is_due=warehouse.build_is_due))
    tasks.append(Task("publish", ("build",), publish, needs=("build",), is_due=warehouse.publish_is_due))
    # Last, so that publishing does not wait for it.
    due = partial(is_due, settings, warehouse)
    tasks.append(Task(RECONCILE, (), partial(_reconcile, settings, streams), is_due=due, always=False))
    return tuple(tasks)


def _load_tasks(warehouse: Warehouse, streams: tuple[Stream, ...]) -> list[Task]:
    tasks = []
    # Load lines before their orders. Otherwise a line that arrives between the two loads has no order in the models.
    for stream in reversed(streams):
        load = f"load_{stream.name}"
        tasks.append(Task(load, (), partial(_load, warehouse, stream), is_due=warehouse.load_is_due, shares=True))
        cleanup = partial(_cleanup, warehouse, stream)
        tasks.append(Task(f"cleanup_{stream.name}", (load,), cleanup, is_due=warehouse.load_is_due, shares=True))
    return tasks


def run_loads(settings: Settings, streams: tuple[Stream, ...]) -> list[TaskRun]:
    """Load each stream and clean up what was loaded; build nothing. A failed task is in the result.

    Raises:
        WarehouseError: the warehouse cannot be opened.
    """
    warehouse = open_warehouse(settings)
    runs = _run(warehouse, tuple(_load_tasks(warehouse, streams)))
    publish_report(warehouse, streams, interval=None)
    return runs


def run_task(
    settings: Settings, streams: tuple[Stream, ...], name: str | None = None, *, scope: Scope | None = None
) -> list[TaskRun]:
    """Run one task and the tasks that depend on it, or all tasks. A failed task is in the result and raises no error.

    Raises:
        ConfigError: there is no task of that name.
        WarehouseError: the warehouse cannot be opened.
    """
    warehouse = open_warehouse(settings)
    graph = task_graph(settings, warehouse, streams, scope)
    whole = tuple(task for task in graph if task.always or task.is_due()) if name is None else ()
    runs = _run(warehouse, whole or _with_dependants(graph, str(name)))
    publish_report(warehouse, streams, interval=None)
    return runs


def bug_message(error: Exception) -> str:
    """Return how an unforeseen error is reported."""
    return f"Unexpected {type(error).__name__}: {error}. This is a bug in Adventure; please report it."


def publish_report(publisher: Publisher, streams: tuple[Stream, ...], *, interval: float | None) -> None:
    """Publish the state of the pipeline. A failure is logged and does not fail the tasks."""
    try:
        publisher.publish_report(streams, interval=interval)
    except AdventureError as error:
        log.error(f"tasks: the dashboard's Pipeline page was not updated: {error}")


def _with_dependants(graph: tuple[Task, ...], name: str) -> tuple[Task, ...]:
    if name not in {task.name for task in graph}:
        raise ConfigError(f"There is no task named {name}", f"Choose one of: {', '.join(task.name for task in graph)}")
    chosen = {name}
    for task in graph:
        if chosen & set(task.after):
            chosen.add(task.name)
    return tuple(task for task in graph if task.name in chosen)


def _run(warehouse: Warehouse, tasks: tuple[Task, ...]) -> list[TaskRun]:
    """Run these tasks, due or not."""
    runs: dict[str, TaskRun] = {}

    def run(task: Task) -> TaskRun:
        failed = [name for name in task.needs if name in runs and runs[name].outcome == "failed"]
        runs[task.name] = _skipped(task, f"after {failed[0]} failed") if failed else run_one(task)
        return runs[task.name]

    for block in in_blocks(warehouse, tasks, run):
        warehouse.record_runs(*block)
    return list(runs.values())


def in_blocks(
    warehouse: Warehouse, tasks: tuple[Task, ...], run: Callable[[Task], TaskRun | None]
) -> Iterator[list[TaskRun]]:
    """Run tasks in their order and yield their runs, those of short tasks that share the open warehouse together.

    Args:
        run: runs a task; None if it leaves it out.
    """
    remaining = deque(tasks)
    while remaining:
        shares, runs = remaining[0].shares, []
        with warehouse.reading() if shares else nullcontext():
            ends_at = time.monotonic() + KEPT_OPEN_SEC
            while remaining:
                found = run(remaining.popleft())
                runs += [found] if found else []
                # After some failures, such as of a full disk, DuckDB refuses everything until the file is opened again.
                goes_on = (found is None or found.outcome == "succeeded") and time.monotonic() < ends_at
                if not (shares and goes_on and remaining and remaining[0].shares):
                    break
        yield runs
        if remaining and shares:
            # Let a command that waits for the warehouse have it.
            time.sleep(YIELDED_SEC)


def run_one(task: Task) -> TaskRun:
    """Run the task. A failure is in the result."""
    heartbeat.beat()
    started_at = utc_now()
    outcome: Outcome = "succeeded"
    try:
        result, message = task.run()
    except AdventureError as error:
        result, message, outcome = LoadResult(), str(error), "failed"
        log.error(f"{task.name}: {error}", task=task.name)
    except Exception as error:
        # A bug in one task must not keep the others from running.
        result, message, outcome = LoadResult(), bug_message(error), "failed"
        log.exception(f"{task.name}: {message}", task=task.name)
    if not result.was_run:
        outcome, message = "skipped", "not run: nothing is staged"
    if outcome == "succeeded" and message:
        log.info(f"{task.name}: {message}", task=task.name)
    return TaskRun(task.name, started_at, utc_now(), outcome, result.rows, result.files, message)


def _skipped(task: Task, message: str) -> TaskRun:
    now = utc_now()
    return TaskRun(task.name, now, now, "skipped", 0, 0, message)


def _build(builder: Builder, streams: tuple[Stream, ...], scope: Scope | None) -> tuple[LoadResult, str]:
    return LoadResult(), builder.build(streams, scope)


def _publish(publisher: Publisher) -> tuple[LoadResult, str]:
    return LoadResult(publisher.publish()), ""


def _reconcile(settings: Settings, streams: tuple[Stream, ...]) -> tuple[LoadResult, str]:
    rows, message = reconcile_recent(settings, streams)
    return LoadResult(rows), message


def _load(loader: Loader, stream: Stream) -> tuple[LoadResult, str]:
    return loader.load(stream), ""


def _cleanup(loader: Loader, stream: Stream) -> tuple[LoadResult, str]:
    result = loader.cleanup(stream)
    if result.files:
        log.info(f"{stream.name}: removed {result.files} loaded files from {stream.stage}", files=result.files)
    return result, ""
