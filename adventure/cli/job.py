"""What every command begins with: its settings, its streams and, where it lives long, a way to be stopped."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import threading

    from adventure.core.settings import Settings
    from adventure.core.streams import Stream
    from adventure.destinations.common.build import Scope


def settings_of(context: typer.Context) -> "Settings":
    """From the environment and the file of `--env`; the log takes the form that they ask for."""
    from adventure.core import log
    from adventure.core.settings import load_settings

    settings = load_settings(context.find_root().obj)
    log.configure(settings.log_format)
    return settings


def pipeline_of(context: typer.Context) -> "tuple[Settings, tuple[Stream, ...]]":
    """The settings, and the streams of PIPELINE_FILE."""
    from adventure.core.streams import load_streams

    settings = settings_of(context)
    return settings, load_streams(settings)


def run_long_lived(
    settings: "Settings", job: "Callable[[threading.Event], Any]", *, beats_in: "Path | None" = None
) -> None:
    """Runs a long-lived job until SIGTERM or Ctrl-C, with a heartbeat in HEARTBEAT_FILE or else in `beats_in`."""
    from adventure.core import heartbeat
    from adventure.core.stopping import run_until_stopped

    heartbeat.begin(settings.heartbeat_file or beats_in, settings.stuck_after_sec)
    run_until_stopped(job)
    heartbeat.end()


@contextmanager
def importing_demo() -> "Iterator[None]":
    """Translate an import that fails because the demo is not installed into an error that names what to install.

    Raises:
        ConfigError: this install is without `adventure.demo`, or without a package that it needs.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        from adventure.core.errors import ConfigError

        raise ConfigError(
            f"This command belongs to the demo, and this install has no {error.name}",
            "Install the extra: `pip install 'adventure[demo]'`, or run `make demo` in a clone",
        ) from error


def run_tasks(context: typer.Context, name: str | None, *, scope: "Scope | None" = None) -> None:
    """Runs the task of that name and those that depend on it, or all; exit code 1 if one fails."""
    from adventure.monitoring.status import print_task_runs
    from adventure.tasks.graph import run_task

    runs = run_task(*pipeline_of(context), name, scope=scope)
    print_task_runs(runs)
    if any(run.outcome == "failed" for run in runs):
        raise typer.Exit(1)
