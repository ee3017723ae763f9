"""`adventure tasks`: loads, cleans up, builds and publishes."""

from typing import Annotated

import typer

from adventure.cli.job import pipeline_of, run_long_lived, run_tasks

app = typer.Typer(no_args_is_help=True, help="Runs the tasks that load, clean up, build and publish.")


@app.command("run")
def tasks_run(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="A task; those that depend on it run after it. Default: all.")
    ] = None,
) -> None:
    """Runs one task with those that depend on it, or all."""
    run_tasks(context, name)


@app.command("serve")
def tasks_serve(
    context: typer.Context,
    every: Annotated[
        str | None, typer.Option(help="Time between runs: 10s, 5m, 1h (default: TASKS_INTERVAL_SEC).")
    ] = None,
) -> None:
    """Keeps the task graph on its schedule until stopped."""
    from adventure.core.settings import parse_duration
    from adventure.tasks.graph import serve

    settings, streams = pipeline_of(context)
    interval = parse_duration(every) if every else settings.tasks_interval_sec
    run_long_lived(settings, lambda stop: serve(settings, streams, interval=interval, stop=stop))
