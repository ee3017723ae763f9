"""The results of dbt's tests and models, kept until the next result of the same test or model.

dbt's `run_results.json` holds one run, and an increment runs only some tests. A warning must not vanish with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from adventure.core.clock import utc_now

LONGEST_TEXT = 2_000
FAILED = ("fail", "error", "runtime error", "warn")
_LAST = "run_results.json"
_KEPT = "failed_results.json"

Result = tuple[str, str, str, str, int | None, str, str | None]
"""Test, kind, model, outcome, rows, message, and the table of its rows."""


NodeResult = Mapping[str, Any]
"""The result of a model, seed or test, as in dbt's run_results.json."""


@dataclass(frozen=True)
class _Node:
    """What is said of a test or a model."""

    kind: str
    name: str
    about: str
    """The model that a test is of; else the name."""
    relation: str | None
    """The table of a test's failed rows."""


@dataclass(frozen=True)
class _Project:
    """What is needed of dbt's manifest, which has some megabytes."""

    nodes: Mapping[str, _Node]
    freshness: tuple[tuple[str, str, str, float | None, float | None], ...]


@dataclass(frozen=True)
class Results:
    """What dbt's runs left."""

    ran_at: datetime | None
    """When dbt last ran."""
    tests: int
    """How many tests it ran then."""
    failed: list[Result]
    """Each test and model whose last result is a failure or a warning."""


def kind_of(result: NodeResult) -> str:
    """Return what the result is of, such as `model` or `test`."""
    return str(result["unique_id"]).split(".")[0]


def name_of(result: NodeResult) -> str:
    """Return the name of the model or test."""
    return str(result["unique_id"]).split(".")[2]


def read_nodes(dbt_target: Path) -> list[NodeResult]:
    """Return the results of the last run."""
    return [*(_read(dbt_target / _LAST) or {"results": []})["results"]]


def write_results(dbt_target: Path, results: Sequence[NodeResult], seconds: float) -> None:
    """Write the results of a build without dbt where dbt has left those of its last run, and keep them.

    Args:
        seconds: how long the build took.
    """
    last = _read(dbt_target / _LAST) or {"metadata": {}}
    metadata = {**last["metadata"], "generated_at": f"{utc_now().isoformat()}Z"}
    written = {**last, "metadata": metadata, "results": results, "elapsed_time": seconds}
    (dbt_target / _LAST).write_bytes(orjson.dumps(written))
    keep_results(dbt_target)


def keep_results(dbt_target: Path) -> None:
    """Add the failures and warnings of the last run to those of earlier runs, and drop what has passed since."""
    results = _read(dbt_target / _LAST)
    if results is not None:
        (dbt_target / _KEPT).write_bytes(orjson.dumps(_merged(dbt_target, results)))


def read_results(dbt_target: Path) -> Results:
    """Return what dbt's runs left in its target folder."""
    results, project = _read(dbt_target / _LAST), _project(dbt_target)
    if results is None or project is None:
        return Results(None, 0, [])
    names = [each["unique_id"] for each in results["results"]]
    kept = _merged(dbt_target, results)
    return Results(
        ran_at=datetime.fromisoformat(results["metadata"]["generated_at"]).replace(tzinfo=None),
        tests=sum(name in project.nodes and project.nodes[name].kind in ("test", "unit_test") for name in names),
        # A test that was removed from the project has no result any more.
        failed=[_result(project.nodes[name], found) for name, found in sorted(kept.items()) if name in project.nodes],
    )


def declared_freshness(dbt_target: Path) -> list[tuple[str, str, str, float | None, float | None]]:
    """Return schema, table, column, and seconds until warning and error, of each source that declares a freshness."""
    project = _project(dbt_target)
    return list(project.freshness) if project else []


def _project(dbt_target: Path) -> _Project | None:
    """Return what is needed of the manifest. It is read again when it has changed."""
    path = dbt_target / "manifest.json"
    try:
        written = path.stat()
    except FileNotFoundError:
        return None
    return _project_of(path, written.st_mtime_ns, written.st_ino)


@lru_cache(maxsize=1)
def _project_of(path: Path, _changed_at: int, _inode: int) -> _Project | None:
    manifest = _read(path)
    if manifest is None:
        return None
    return _Project(
        {name: _node(node) for name, node in manifest["nodes"].items()},
        tuple(each for source in manifest["sources"].values() if (each := _declared(source))),
    )


def _node(node: dict[str, Any]) -> _Node:
    about = str(node.get("attached_node") or "").split(".")[-1]
    return _Node(node["resource_type"], node["name"], about or node["name"], node.get("relation_name"))


def _declared(source: dict[str, Any]) -> tuple[str, str, str, float | None, float | None] | None:
    freshness, column = source.get("freshness") or {}, source.get("loaded_at_field")
    warn, error = _seconds(freshness.get("warn_after")), _seconds(freshness.get("error_after"))
    return (source["schema"], source["identifier"], column, warn, error) if column and (warn or error) else None


def _seconds(after: dict[str, Any] | None) -> float | None:
    sizes = {"minute": 60.0, "hour": 3_600.0, "day": 86_400.0}
    return after["count"] * sizes[after["period"]] if after and after.get("count") and after.get("period") else None


def _merged(dbt_target: Path, results: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = _read(dbt_target / _KEPT) or {}
    for result in results["results"]:
        name, status = result["unique_id"], result["status"]
        if status in FAILED:
            kept[name] = {key: result[key] for key in ("status", "failures", "message")}
        elif status != "skipped":
            kept.pop(name, None)
    return kept


def _result(node: _Node, found: dict[str, Any]) -> Result:
    message = " ".join(str(found["message"] or "").split())[:LONGEST_TEXT]
    relation = node.relation if node.kind == "test" else None
    return node.name, node.kind, node.about, found["status"], found["failures"], message, relation


def _read(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
