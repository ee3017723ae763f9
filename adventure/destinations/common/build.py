"""Runs `dbt build` in this process: importing dbt takes seconds, a second run about one."""

import contextlib
import hashlib
import io
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adventure.core import heartbeat
from adventure.core.errors import BuildFailed, ConfigError
from adventure.core.faults import Point, reached
from adventure.core.log import get_logger
from adventure.core.private import close_to_others, make_folder
from adventure.core.settings import Settings
from adventure.destinations.scope import SCOPES as SCOPES
from adventure.destinations.scope import Scope as Scope

log = get_logger()

_TOLD_EVERY_SEC = 2.0
_SELECTORS: dict[Scope, str] = {"increment": "increment", "whole": "whole", "full refresh": "whole"}
"""In dbt/selectors.yml, which says what is in them."""
_FAILED = ("error", "fail", "runtime error")


def run_dbt_build(settings: Settings, scope: Scope, *, target: str, environment: Mapping[str, str]) -> str:
    """Seeds, builds and tests the models of that scope; one line that says what was done.

    Args:
        environment: variables that the profile of that target reads.

    Raises:
        ConfigError: there is no dbt project at `settings.dbt_dir`.
        BuildFailed: names what failed first, and where the details are.
    """
    project = _project(settings)
    logs = target_dir(settings).parent
    make_folder(logs)
    close_to_others(logs)
    arguments = ["build", "--selector", _SELECTORS[scope], "--target", target]
    arguments += ["--project-dir", str(project), "--profiles-dir", str(project)]
    arguments += ["--target-path", str(logs / "target"), "--log-path", str(logs / "logs"), "--quiet", "--no-use-colors"]
    arguments += ["--no-send-anonymous-usage-stats", "--no-version-check"]
    if scope == "full refresh":
        arguments.append("--full-refresh")
    begun = time.monotonic()
    with _variables(environment), contextlib.redirect_stdout(io.StringIO()):
        result = _invoke(arguments)
    if isinstance(result.exception, KeyboardInterrupt):
        raise result.exception
    reached(Point.BUILT)
    if result.exception is not None:
        raise BuildFailed(f"dbt could not run: {result.exception}", f"See {logs / 'logs' / 'dbt.log'}")
    nodes = list(getattr(result.result, "results", []))
    failed = [node for node in nodes if str(node.status) in _FAILED]
    if failed or not result.success:
        raise BuildFailed(_describe(failed), f"Rows that failed a test are kept; see {logs / 'logs' / 'dbt.log'}")
    return f"{scope}: {_summary(nodes, time.monotonic() - begun)}"


def fingerprint(settings: Settings) -> str:
    """Of the dbt project's files: another one when a model, a seed, a test or a setting has changed.

    Raises:
        ConfigError: there is no dbt project at `settings.dbt_dir`.
    """
    project = _project(settings)
    digest = hashlib.sha256()
    for folder in (".", "analyses", "macros", "models", "seeds", "tests"):
        found = (project / folder).glob("*" if folder == "." else "**/*")
        for path in sorted(path for path in found if path.suffix in (".sql", ".yml", ".csv", ".md")):
            digest.update(str(path.relative_to(project)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _project(settings: Settings) -> Path:
    project = settings.dbt_dir.resolve()
    if not (project / "dbt_project.yml").is_file():
        raise ConfigError(f"There is no dbt project at {project}", "Set DBT_DIR, or run where the project stands")
    return project


def target_dir(settings: Settings) -> Path:
    """Where dbt leaves its manifest and what its last run did."""
    return (settings.data_dir / "dbt" / "target").resolve()


def _invoke(arguments: list[str]) -> Any:
    from dbt.cli.main import dbtRunner

    begun = told = time.monotonic()
    finished = 0

    def tell(event: Any) -> None:
        nonlocal finished, told
        heartbeat.beat()
        if event.info.name == "NodeFinished":
            finished += 1
            reached(Point.MODEL_BUILT, event.data.node_info.node_name)
            if time.monotonic() - told > _TOLD_EVERY_SEC:
                told = time.monotonic()
                log.info(f"build: {finished} models and tests done after {told - begun:.0f} s", done=finished)

    return dbtRunner(callbacks=[tell]).invoke(arguments)


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
