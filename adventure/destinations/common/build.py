"""Runs `dbt build` in this process: importing dbt takes seconds, so a second run in the process is faster."""

import contextlib
import hashlib
import io
import os
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from adventure.core import heartbeat
from adventure.core.errors import BuildFailed, ConfigError
from adventure.core.extras import naming_extra
from adventure.core.faults import Point, reached
from adventure.core.garbage import searched_later
from adventure.core.kinds import WAREHOUSES
from adventure.core.log import get_logger
from adventure.core.private import close_to_others, make_folder
from adventure.core.settings import Settings
from adventure.destinations.common import unchanged
from adventure.destinations.common.dbt_events import without_debug_events
from adventure.destinations.common.dbt_patches import quick_dbt
from adventure.destinations.common.dbt_results import keep_results
from adventure.destinations.common.parsed import Parsed, parsed
from adventure.destinations.common.selection import LoadedTables, Selection, keep_selection, select
from adventure.destinations.warehouse import Scope

log = get_logger()

_TOO_NEW = (3, 14)
"""The first Python that dbt-core 1.11 does not run on: its mashumaro cannot read its own classes there."""
_PROGRESS_INTERVAL_SEC = 2.0
_FAILED = ("error", "fail", "runtime error")


def run_dbt_build(
    settings: Settings,
    scope: Scope,
    tables: LoadedTables,
    *,
    target: str,
    environment: Mapping[str, str],
    profile: str = "adventure",
) -> str:
    """Seed, build and test the models of that scope, and return a line that says what was built.

    Args:
        tables: the raw tables that models may read.
        environment: the environment variables that the profile reads.

    Raises:
        ConfigError: there is no dbt project at `settings.dbt_dir`; dbt is not installed, or cannot run on this Python.
        BuildFailed: a model or a test failed; the message names the first one.
    """
    logs = target_dir(settings).parent
    begun = time.monotonic()
    project = parse_project(settings, target=target, environment=environment, profile=profile)
    manifest = project.description
    selection = select(manifest, tables)
    keep_selection(logs / "target", selection)
    if not selection.built:
        return f"nothing to build: {_missing(selection)}"
    chosen = selection.arguments(scope, has_selectors=(_project(settings) / "selectors.yml").exists())
    last = unchanged.last_build(project.made_from) if scope == "increment" else None
    changed = unchanged.changed_nodes(manifest, last, tables) if last else []
    unchanged.forget()
    refresh = ["--full-refresh"] if scope == "full refresh" else []
    arguments = _arguments(_project(settings), logs, profile, target)
    with _for_dbt(settings, environment):
        nodes_of_dbt = project.manifest()
        if changed:
            unchanged.mark(nodes_of_dbt, changed)
            chosen = [*unchanged.CHANGED]
        # dbt would also write the manifest again, which parsing has left there.
        result = _invoke(["build", *chosen, *refresh, *arguments, "--no-write-json"], nodes_of_dbt)
    if result.result is not None:
        result.result.write(str(logs / "target" / "run_results.json"))
        keep_results(logs / "target")
    reached(Point.BUILT)
    nodes = list(getattr(_ended(result, logs).result, "results", []))
    failed = [node for node in nodes if str(node.status) in _FAILED]
    if failed or not result.success:
        raise BuildFailed(_describe(failed), f"See {logs / 'logs' / 'dbt.log'}; dbt kept the rows that failed a test")
    increment = last.increment if last and changed else {str(each.node.unique_id) for each in nodes}
    unchanged.remember(project.made_from, tables, increment if scope == "increment" else ())
    left_out = f"; left out {len(selection.left_out)}: {_missing(selection)}" if selection.left_out else ""
    return f"{scope}: {_summary(nodes, time.monotonic() - begun)}{left_out}"


def parse_project(
    settings: Settings, *, target: str, environment: Mapping[str, str], profile: str = "adventure"
) -> Parsed:
    """Parse the dbt project, or return it as this process parsed it before. A build does so by itself.

    Raises:
        ConfigError, BuildFailed: as `run_dbt_build`.
    """
    project, logs = _project(settings), target_dir(settings).parent
    make_folder(logs)
    close_to_others(logs)
    _check_python()
    arguments = _arguments(project, logs, profile, target)
    with _for_dbt(settings, environment):
        return parsed(project, logs / "target", arguments, lambda: _ended(_invoke(["parse", *arguments]), logs).result)


@contextlib.contextmanager
def _for_dbt(settings: Settings, environment: Mapping[str, str]) -> Iterator[None]:
    """Set what the project reads, catch what dbt prints, and let the many objects that it makes be."""
    # The project has models that exist only where an API is read.
    api = {"API_URL": settings.api_url} if settings.api_url else {}
    needs_dbt = naming_extra("A build of the models", WAREHOUSES[settings.warehouse].extra)
    with needs_dbt, _variables({**environment, **api}), contextlib.redirect_stdout(io.StringIO()), searched_later():
        yield


def _arguments(project: Path, logs: Path, profile: str, target: str) -> list[str]:
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


def _ended(result: Any, logs: Path) -> Any:
    """Return the result of a command of dbt that ran.

    Raises:
        BuildFailed: dbt could not run it.
    """
    if isinstance(result.exception, KeyboardInterrupt):
        raise result.exception
    if result.exception is not None:
        raise BuildFailed(f"dbt could not run: {result.exception}", f"See {logs / 'logs' / 'dbt.log'}")
    return result


def _missing(selection: Selection) -> str:
    """Return why models are not built."""
    shown = ", ".join(selection.missing[:3]) + (" …" if len(selection.missing) > 3 else "")
    return f"nothing loads {shown}" if shown else "the dbt project has no models"


def fingerprint(settings: Settings, tables: Collection[str] = ()) -> str:
    """Return a hash of the dbt project's files: models, seeds, tests, macros and settings; and of what they may read.

    Args:
        tables: the raw tables to which something was loaded.

    Raises:
        ConfigError: there is no dbt project at `settings.dbt_dir`.
    """
    project = _project(settings)
    digest = hashlib.sha256("\0".join(sorted(tables)).encode())
    for folder in (".", "analyses", "macros", "models", "seeds", "tests"):
        found = (project / folder).glob("*" if folder == "." else "**/*")
        for path in sorted(path for path in found if path.suffix in (".sql", ".yml", ".csv", ".md")):
            digest.update(str(path.relative_to(project)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _project(settings: Settings) -> Path:
    project = settings.dbt_dir.resolve()
    if not (project / "dbt_project.yml").is_file():
        raise ConfigError(
            f"There is no dbt project at {project}", "Set DBT_DIR, or run the command in the project's folder"
        )
    return project


def _check_python() -> None:
    if sys.version_info >= _TOO_NEW:
        newest, this = ".".join(map(str, _TOO_NEW)), ".".join(map(str, sys.version_info[:2]))
        raise ConfigError(
            f"dbt-core 1.11 does not run on Python {this}, and nothing was built",
            f"Run builds with a Python below {newest}; the processor, loads and the dashboard run on this one",
        )


def target_dir(settings: Settings) -> Path:
    """Return dbt's target folder, with its manifest and the results of its last run."""
    return (settings.data_dir / "dbt" / "target").resolve()


def _invoke(arguments: list[str], manifest: Any = None) -> Any:
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

    with without_debug_events(), quick_dbt():
        return dbtRunner(manifest, callbacks=[log_progress]).invoke(arguments)


def _describe(failed: list[Any]) -> str:
    first = failed[0] if failed else None
    if first is None:
        return "dbt ended without success"
    message = " ".join(str(first.message or "").split())
    others = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    return f"{first.node.resource_type} {first.node.name} failed: {message[:300]}{others}"


def _summary(nodes: list[Any], seconds: float) -> str:
    kinds = [str(node.node.resource_type) for node in nodes]
    built = kinds.count("model") + kinds.count("seed")
    warned = [node.node.name for node in nodes if str(node.status) == "warn"]
    warnings = f", warned by {', '.join(warned[:3])}{' …' if len(warned) > 3 else ''}" if warned else ""
    passed = kinds.count("test") - len(warned)
    return f"{built} models and seeds, {passed} tests passed in {seconds:.1f} s{warnings}"


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
