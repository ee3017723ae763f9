"""Runs `dbt build` in this process: importing dbt takes seconds, a second run about one."""

import contextlib
import io
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from adventure.errors import BuildFailed, ConfigError
from adventure.faults import Point, reached
from adventure.log import get_logger
from adventure.settings import Settings

log = get_logger()

_TOLD_EVERY_SEC = 2.0
_FAILED = ("error", "fail", "runtime error")


def run_dbt_build(
    settings: Settings, *, target: str, environment: Mapping[str, str], full_refresh: bool = False
) -> str:
    """Seeds, builds and tests all models; one line that says what was done.

    Args:
        environment: variables that the profile of that target reads.

    Raises:
        ConfigError: there is no dbt project at `settings.dbt_dir`.
        BuildFailed: names what failed first, and where the details are.
    """
    project = settings.dbt_dir.resolve()
    if not (project / "dbt_project.yml").is_file():
        raise ConfigError(f"There is no dbt project at {project}", "Set DBT_DIR, or run where the project stands")
    logs = (settings.data_dir / "dbt").resolve()
    arguments = ["build", "--project-dir", str(project), "--profiles-dir", str(project), "--target", target]
    # Unit tests judge the code, not what was loaded: once, before it is used.
    arguments += ["--exclude-resource-type", "unit_test"]
    arguments += ["--target-path", str(logs / "target"), "--log-path", str(logs / "logs"), "--quiet", "--no-use-colors"]
    arguments += ["--no-send-anonymous-usage-stats", "--no-version-check"]
    if full_refresh:
        arguments.append("--full-refresh")
    begun = time.monotonic()
    with _variables(environment), contextlib.redirect_stdout(io.StringIO()):
        result = _invoke(arguments)
    _release_duckdb()
    reached(Point.BUILT)
    if result.exception is not None:
        raise BuildFailed(f"dbt could not run: {result.exception}", f"See {logs / 'logs' / 'dbt.log'}")
    nodes = list(getattr(result.result, "results", []))
    failed = [node for node in nodes if str(node.status) in _FAILED]
    if failed or not result.success:
        raise BuildFailed(_describe(failed), f"Rows that failed a test are kept; see {logs / 'logs' / 'dbt.log'}")
    return _summary(nodes, time.monotonic() - begun)


def _invoke(arguments: list[str]) -> Any:
    from dbt.cli.main import dbtRunner

    begun = told = time.monotonic()
    finished = 0

    def tell(event: Any) -> None:
        nonlocal finished, told
        if event.info.name == "NodeFinished":
            finished += 1
            reached(Point.MODEL_BUILT, event.data.node_info.node_name)
            if time.monotonic() - told > _TOLD_EVERY_SEC:
                told = time.monotonic()
                log.info(f"build: {finished} models and tests done after {told - begun:.0f} s", done=finished)

    return dbtRunner(callbacks=[tell]).invoke(arguments)


def _release_duckdb() -> None:
    """dbt-duckdb keeps the file open for its next run; others are waiting for it."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]


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
