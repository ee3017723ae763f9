"""Runs commands of dbt in this process: importing dbt takes seconds, so a second run in the process is faster."""

import contextlib
import io
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adventure.core import heartbeat
from adventure.core.errors import BuildFailed, ConfigError
from adventure.core.extras import naming_extra
from adventure.core.faults import Point, reached
from adventure.core.garbage import searched_later
from adventure.core.kinds import WAREHOUSES
from adventure.core.log import get_logger
from adventure.core.settings import Settings
from adventure.destinations.common.dbt_events import without_debug_events

log = get_logger()

_TOO_NEW = (3, 14)
"""The first Python that dbt-core 1.11 does not run on: its mashumaro cannot read its own classes there."""
_PROGRESS_INTERVAL_SEC = 2.0


def check_python() -> None:
    """Check that dbt runs on this Python.

    Raises:
        ConfigError: it does not.
    """
    if sys.version_info >= _TOO_NEW:
        newest, this = ".".join(map(str, _TOO_NEW)), ".".join(map(str, sys.version_info[:2]))
        raise ConfigError(
            f"dbt-core 1.11 does not run on Python {this}, and nothing was built",
            f"Run builds with a Python below {newest}; the processor, loads and the dashboard run on this one",
        )


@contextlib.contextmanager
def for_dbt(settings: Settings, environment: Mapping[str, str]) -> Iterator[None]:
    """Set what the project reads, catch what dbt prints, and let the many objects that it makes be."""
    # The project has models that exist only where an API is read.
    api = {"API_URL": settings.api_url} if settings.api_url else {}
    needs_dbt = naming_extra("A build of the models", WAREHOUSES[settings.warehouse].extra)
    with needs_dbt, _variables({**environment, **api}), contextlib.redirect_stdout(io.StringIO()), searched_later():
        yield


def arguments(project: Path, logs: Path, profile: str, target: str) -> list[str]:
    """Return the arguments that every command of dbt gets."""
    folders = {
        "project-dir": project,
        "profiles-dir": project,
        "target-path": logs / "target",
        "log-path": logs / "logs",
    }
    chosen = [text for name, folder in folders.items() for text in (f"--{name}", str(folder))]
    flags = ["--quiet", "--no-use-colors", "--no-send-anonymous-usage-stats", "--no-version-check"]
    # The SQL of each node is in its own file; as debug lines in the log it takes a tenth of a build.
    flags += ["--log-level-file", "info"]
    return ["--profile", profile, "--target", target, *chosen, *flags]


def ended(result: Any, logs: Path) -> Any:
    """Return the result of a command of dbt that ran.

    Raises:
        BuildFailed: dbt could not run it.
    """
    if isinstance(result.exception, KeyboardInterrupt):
        raise result.exception
    if result.exception is not None:
        raise BuildFailed(f"dbt could not run: {result.exception}", f"See {logs / 'logs' / 'dbt.log'}")
    return result


def invoke(arguments: list[str], manifest: Any = None) -> Any:
    """Run a command of dbt.

    Args:
        manifest: what `parse` returned, so that the project is not parsed again.
    """
    from mashumaro.config import BaseConfig

    # Otherwise mashumaro writes and compiles readers and writers of some hundred classes of dbt as they are imported.
    # Most of them are never used.
    BaseConfig.lazy_compilation = True
    from dbt.cli.main import dbtRunner

    begun = logged = time.monotonic()
    finished = total = 0

    def log_progress(event: Any) -> None:
        nonlocal finished, logged, total
        heartbeat.beat()
        # dbt tells the total with the start of each model and test.
        total = max(total, getattr(event.data, "total", 0)) if event.info.name == "LogStartLine" else total
        if event.info.name == "NodeFinished":
            finished += 1
            reached(Point.MODEL_BUILT, event.data.node_info.node_name)
            if time.monotonic() - logged > _PROGRESS_INTERVAL_SEC:
                logged = time.monotonic()
                of = f" of {total}" if total else ""
                log.info(f"build: {finished}{of} models and tests done after {logged - begun:.0f} s", done=finished)

    with without_debug_events():
        return dbtRunner(manifest, callbacks=[log_progress]).invoke(arguments)


@contextlib.contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
