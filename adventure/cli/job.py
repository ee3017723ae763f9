"""Helpers of the commands: load settings and streams, and run tasks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from adventure.cli.given import General, load_given_pipeline, load_given_settings

if TYPE_CHECKING:
    from adventure.core.settings import Settings
    from adventure.core.streams import Stream
    from adventure.destinations.results import TaskRun
    from adventure.destinations.warehouse import Scope


def settings_of(context: typer.Context) -> "Settings":
    """Load the settings from the environment and the file of `--env`, and configure the log."""
    return load_given_settings(general_of(context))


def pipeline_of(context: typer.Context) -> "tuple[Settings, tuple[Stream, ...]]":
    """Load the settings, and the streams of PIPELINE_FILE."""
    return load_given_pipeline(general_of(context))


def general_of(context: typer.Context) -> General:
    """Return the values of the shared options."""
    general: General = context.find_root().obj
    return general


def level_options(context: typer.Context) -> list[str]:
    """Return the option that gives another command the log level of this one."""
    level = general_of(context).level
    return [] if level == "normal" else [f"--{level}"]


@contextmanager
def importing_demo() -> "Iterator[None]":
    """Translate an import that fails because the demo is not installed into an error that names what to install.

    Raises:
        ConfigError: this install is without `adventure.demo`, or without a package that it needs.
    """
    from adventure.core.extras import naming_extra

    with naming_extra("This command belongs to the demo: it", "demo"):
        yield


def run_tasks(context: typer.Context, name: str | None, *, scope: "Scope | None" = None) -> None:
    """Run the named task and the tasks that depend on it, or all tasks. Exit code 1 if one fails."""
    from adventure.tasks.graph import run_task

    _report_runs(run_task(*pipeline_of(context), name, scope=scope))


def run_loads(context: typer.Context) -> None:
    """Run the tasks that load and clean up. Exit code 1 if one fails."""
    from adventure.tasks.graph import run_loads

    _report_runs(run_loads(*pipeline_of(context)))


def _report_runs(runs: "list[TaskRun]") -> None:
    from adventure.monitoring.status import print_task_runs

    print_task_runs(runs)
    if any(run.outcome == "failed" for run in runs):
        raise typer.Exit(1)
