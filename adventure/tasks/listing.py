"""List the tasks for `adventure tasks list`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adventure.core.console import console, table
from adventure.core.settings import Settings
from adventure.core.streams import Stream
from adventure.destinations.results import TaskRun
from adventure.factory import open_warehouse
from adventure.monitoring import as_json
from adventure.tasks.graph import Task, task_graph


@dataclass(frozen=True)
class ListedTask:
    """One task of the graph, and how often it failed."""

    task: Task
    last_run: TaskRun | None
    """None if it never ran."""
    failures: int
    """Failures since its last success."""


def list_tasks(settings: Settings, streams: tuple[Stream, ...]) -> list[ListedTask]:
    """Return the tasks in the order in which they run.

    Raises:
        WarehouseError: the warehouse cannot be opened.
    """
    warehouse = open_warehouse(settings)
    runs = {run.name: run for run in warehouse.last_runs()}
    failures = warehouse.failures_in_a_row()
    return [
        ListedTask(task, runs.get(task.name), failures.get(task.name, (0, ""))[0])
        for task in task_graph(settings, warehouse, streams)
    ]


def print_tasks(tasks: Sequence[ListedTask]) -> None:
    """Print one line per task."""
    rows = table(
        "Tasks", left=("task", "runs after", "last outcome", "ended (UTC)", "message"), right=("failures in a row",)
    )
    for each in tasks:
        run = each.last_run
        rows.add_row(
            each.task.name,
            ", ".join(each.task.after) or "-",
            run.outcome if run else "never ran",
            f"{run.ended_at:%m-%d %H:%M:%S}" if run else "-",
            run.message if run else "",
            f"{each.failures:,}",
        )
    console().print(rows)


def tasks_object(tasks: Sequence[ListedTask]) -> dict[str, Any]:
    """Return the object of `adventure tasks list --json`."""
    return {
        "tasks": [
            {
                "task": each.task.name,
                "after": list(each.task.after),
                "failures_in_a_row": each.failures,
                "last_run": as_json.task_run(each.last_run) if each.last_run else None,
            }
            for each in tasks
        ]
    }
