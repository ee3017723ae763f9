"""Helpers of the commands: load settings and streams, run long-lived jobs and tasks."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from adventure.cli.garbage import collect_as_usual
from adventure.cli.general import General

if TYPE_CHECKING:
    import threading

    from adventure.core.settings import Settings
    from adventure.core.streams import Stream
    from adventure.destinations.results import TaskRun
    from adventure.destinations.warehouse import Scope


def settings_of(context: typer.Context) -> "Settings":
    """Load the settings from the environment and the file of `--env`, and configure the log."""
    from adventure.core import foreign_settings, log
    from adventure.core.environment import load_settings
    from adventure.core.named_sources import source_variables

    general: General = context.find_root().obj
    settings = load_settings(general.env)
    log.configure(settings.log_format, general.level)
    log.get_logger().debug(f"settings: read {general.env or '.env'} and the environment; data in {settings.data_dir}")
    for warning in foreign_settings.find_warnings(general.env, settings.warehouse, source_variables(settings)):
        log.get_logger().warning(warning)
    return settings


def _names_databases() -> bool:
    """Return whether the environment says where something is."""
    return any(name in os.environ for name in ("POSTGRES_HOST", "MONGO_HOST", "MONGO_URI", "STATE_DSN", "DATA_DIR"))


def level_options(context: typer.Context) -> list[str]:
    """Return the option that gives another command the log level of this one."""
    level = context.find_root().obj.level
    return [] if level == "normal" else [f"--{level}"]


def pipeline_of(context: typer.Context) -> "tuple[Settings, tuple[Stream, ...]]":
    """Load the settings, and the streams of PIPELINE_FILE."""
    from adventure.core.log import get_logger
    from adventure.core.packaged import is_packaged
    from adventure.core.pipeline_file import load_streams

    settings = settings_of(context)
    general: General = context.find_root().obj
    if not general.env and not Path(".env").exists() and not _names_databases():
        get_logger().warning(f"settings: there is no .env in {Path.cwd()}, so databases and folders are the defaults")
    streams = load_streams(settings)
    listed = f"streams: {', '.join(stream.name for stream in streams)}"
    if is_packaged(settings.pipeline_file):
        get_logger().info(f"{listed}: those of the demo, because there is no pipeline.toml in this folder")
    else:
        get_logger().debug(f"{listed}, from {settings.pipeline_file}")
    return settings, streams


def run_long_lived(
    settings: "Settings", job: "Callable[[threading.Event], Any]", *, heartbeat_file: "Path | None" = None
) -> None:
    """Run a long-lived job until SIGTERM or Ctrl-C. Its heartbeat goes to HEARTBEAT_FILE, else to `heartbeat_file`."""
    from adventure.core import heartbeat
    from adventure.core.log import get_logger
    from adventure.core.stopping import run_until_stopped

    def logged(stop: "threading.Event") -> None:
        job(stop)
        if stop.is_set():
            get_logger().info("Stopped.")

    collect_as_usual()
    heartbeat.begin(settings.heartbeat_file or heartbeat_file, settings.stuck_after_sec)
    run_until_stopped(logged)
    heartbeat.end()


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
