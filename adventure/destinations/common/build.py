"""Builds and tests the dbt models of a scope."""

import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from adventure.core.errors import BuildFailed, ConfigError
from adventure.core.faults import Point, reached
from adventure.core.private import close_to_others, make_folder
from adventure.core.settings import Settings
from adventure.destinations.common import dbt_command, unchanged
from adventure.destinations.common.dbt_results import (
    NodeResult,
    keep_results,
    kind_of,
    name_of,
    read_nodes,
    write_results,
)
from adventure.destinations.common.parsed import Parsed, parsed
from adventure.destinations.common.selection import LoadedTables, Selection, keep_selection, select
from adventure.destinations.warehouse import Scope

_FAILED = ("error", "fail", "runtime error")


class Increments(Protocol):
    """Builds increments, without dbt where it can; see `duckdb.replay`."""

    def run(self, project: Parsed, nodes: Collection[str]) -> list[NodeResult] | None:
        """Build and test the nodes; return None if dbt must."""
        ...

    def learn(self, project: Parsed, manifest: object, build: Callable[[], list[NodeResult]]) -> list[NodeResult]:
        """Let dbt build an increment, learn from it, and return its results."""
        ...

    def forget(self) -> None:
        """Let dbt build the next increments."""
        ...


def run_dbt_build(
    settings: Settings,
    scope: Scope,
    tables: LoadedTables,
    *,
    target: str,
    environment: Mapping[str, str],
    profile: str = "adventure",
    increments: Increments | None = None,
) -> str:
    """Seed, build and test the models of that scope, and return a line that says what was built.

    Args:
        tables: the raw tables that models may read.
        environment: the environment variables that the profile reads.
        increments: builds the increments that it can.

    Raises:
        ConfigError: there is no dbt project at `settings.dbt_dir`; dbt is not installed, or cannot run on this Python.
        BuildFailed: a model or a test failed; the message names the first one.
    """
    begun, dbt_target = time.monotonic(), target_dir(settings)
    project = parse_project(settings, target=target, environment=environment, profile=profile)
    selection = select(project.description, tables)
    keep_selection(dbt_target, selection)
    if not selection.built:
        return f"nothing to build: {_missing(selection)}"
    last = unchanged.last_build(project.made_from) if scope == "increment" else None
    changed = unchanged.changed_nodes(project.description, last, tables) if last else []
    unchanged.forget()
    if increments and scope != "increment":
        increments.forget()
    results = increments.run(project, changed) if increments and changed else None
    if results is not None:
        write_results(dbt_target, results, time.monotonic() - begun)
    else:
        chosen = selection.arguments(scope, has_selectors=(_project(settings) / "selectors.yml").exists())
        flags = dbt_command.arguments(_project(settings), dbt_target.parent, profile, target)
        with dbt_command.for_dbt(settings, environment):
            manifest = project.manifest()
            if changed:
                unchanged.mark(manifest, changed)
                chosen = [*unchanged.CHANGED]
            refresh = ["--full-refresh"] if scope == "full refresh" else []
            build = partial(_run_dbt, dbt_target, [*chosen, *refresh, *flags], manifest)
            learns = increments if scope == "increment" else None
            results = learns.learn(project, manifest, build) if learns else build()
    reached(Point.BUILT)
    increment = last.increment if last and changed else {each["unique_id"] for each in results}
    unchanged.remember(project.made_from, tables, increment if scope == "increment" else ())
    left_out = f"; left out {len(selection.left_out)}: {_missing(selection)}" if selection.left_out else ""
    return f"{scope}: {_summary(results, time.monotonic() - begun)}{left_out}"


def _run_dbt(dbt_target: Path, flags: Sequence[str], manifest: Any) -> list[NodeResult]:
    """Run `dbt build` with the flags, and return the results.

    Args:
        manifest: the project as dbt's classes.

    Raises:
        BuildFailed: a model or a test failed.
    """
    # dbt would also write the manifest again, which parsing has left there.
    result = dbt_command.invoke(["build", *flags, "--no-write-json"], manifest)
    results: list[NodeResult] = []
    if result.result is not None:
        result.result.write(str(dbt_target / "run_results.json"))
        keep_results(dbt_target)
        results = read_nodes(dbt_target)
    dbt_command.ended(result, dbt_target.parent)
    failed = [each for each in results if each["status"] in _FAILED]
    if failed or not result.success:
        log = dbt_target.parent / "logs" / "dbt.log"
        raise BuildFailed(_describe(failed), f"See {log}; dbt kept the rows that failed a test")
    return results


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
    dbt_command.check_python()
    flags = dbt_command.arguments(project, logs, profile, target)

    def parse() -> Any:
        return dbt_command.ended(dbt_command.invoke(["parse", *flags]), logs).result

    with dbt_command.for_dbt(settings, environment):
        return parsed(project, logs / "target", flags, parse)


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


def target_dir(settings: Settings) -> Path:
    """Return dbt's target folder, with its manifest and the results of its last run."""
    return (settings.data_dir / "dbt" / "target").resolve()


def _describe(failed: Sequence[NodeResult]) -> str:
    first = failed[0] if failed else None
    if first is None:
        return "dbt ended without success"
    message = " ".join(str(first["message"] or "").split())
    others = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    return f"{kind_of(first)} {name_of(first)} failed: {message[:300]}{others}"


def _summary(results: Sequence[NodeResult], seconds: float) -> str:
    kinds = [kind_of(each) for each in results]
    built = kinds.count("model") + kinds.count("seed")
    warned = [name_of(each) for each in results if each["status"] == "warn"]
    warnings = f", warned by {', '.join(warned[:3])}{' …' if len(warned) > 3 else ''}" if warned else ""
    passed = kinds.count("test") - len(warned)
    return f"{built} models and seeds, {passed} tests passed in {seconds:.1f} s{warnings}"
