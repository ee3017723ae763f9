"""`adventure tasks`: load, clean up, build and publish."""

from typing import Annotated

import typer

from adventure.cli.general import AsJson, Commands
from adventure.cli.job import pipeline_of, run_tasks
from adventure.cli.processing import run_long_lived

app = Commands(no_args_is_help=True, help="Run the tasks that load, clean up, build and publish.")


@app.command("list")
def tasks_list(context: typer.Context, as_json: AsJson = False) -> None:
    """List the tasks in the order in which they run, each with its last run."""
    from adventure.monitoring import as_json as json_output
    from adventure.tasks.listing import list_tasks, print_tasks, tasks_object

    tasks = list_tasks(*pipeline_of(context))
    if as_json:
        json_output.write(tasks_object(tasks))
    else:
        print_tasks(tasks)


@app.command("run")
def tasks_run(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="A task; the tasks that depend on it run after it. Default: all.")
    ] = None,
) -> None:
    """Run one task and the tasks that depend on it, or all tasks."""
    run_tasks(context, name)


@app.command("serve")
def tasks_serve(
    context: typer.Context,
    interval: Annotated[
        str | None, typer.Option("--every", help="Time between runs: 10s, 5m, 1h (default: TASKS_INTERVAL_SEC).")
    ] = None,
    on_arrival: Annotated[
        bool, typer.Option("--on-arrival", help="Also run them as soon as rows are staged (DuckDB only).")
    ] = False,
) -> None:
    """Run the task graph on its schedule until stopped."""
    from adventure.core.ages import parse_duration
    from adventure.tasks.server import serve

    settings, streams = pipeline_of(context)
    seconds = parse_duration(interval) if interval else settings.tasks_interval_sec
    run_long_lived(settings, lambda stop: serve(settings, streams, interval=seconds, stop=stop, on_arrival=on_arrival))
