"""Which models a build contains: those that need no table which nothing loads.

A dbt project may name raw tables that no stream of pipeline.toml loads, as the shipped project does in a company that
does not sell bicycles. Their models would be empty or fail, and so would what is built from them.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from adventure.core.streams import Stream
from adventure.destinations.warehouse import Execute, Scope

_FILE = "selection.json"
_BUILT = ("model", "seed", "snapshot")
_SCHEMA = "raw_ext"
OWN_TABLES = frozenset(f"{_SCHEMA}.{name}" for name in ("load_history", "rejected_rows", "task_history"))
"""Tables of the pipeline itself that models may read."""


@dataclass(frozen=True)
class LoadedTables:
    """The raw tables that models may read, in lower case."""

    schemas: frozenset[str]
    """The schemas that the streams load into."""
    loaded: frozenset[str]
    """The streams' raw tables and views as `schema.table`, without those to which nothing was loaded yet."""
    stamps: Mapping[str, Hashable] = field(default_factory=dict)
    """For each raw table and view of the streams, what identifies its content."""


@dataclass(frozen=True)
class Selection:
    """The models of a dbt project that can be built, and the others."""

    built: tuple[str, ...]
    """Names of models, seeds and snapshots."""
    sources: tuple[str, ...]
    """Their sources, as `source.table`."""
    left_out: Mapping[str, Sequence[str]]
    """The other models, each with the raw tables that it lacks; none if it only leads to such models."""
    missing: tuple[str, ...]
    """The raw tables that the project reads and nothing loads."""

    def arguments(self, scope: Scope, *, has_selectors: bool) -> list[str]:
        """Return dbt's arguments that choose the models and the tests of that scope.

        Args:
            has_selectors: the project has a file selectors.yml like the shipped one.
        """
        if not self.missing and has_selectors:
            return ["--selector", "increment" if scope == "increment" else "whole"]
        # A bare name would also choose everything in a folder or a project of that name.
        models = [f"fqn:*.{name}" for name in self.built]
        chosen = [*models, *(f"source:{name}" for name in self.sources)] if self.missing else ["fqn:*"]
        skipped = ["test_type:unit"]
        if scope == "increment":
            # As in the shipped selectors.yml: views are always up to date, and new rows do not change static models.
            skipped += ["config.materialized:view", "tag:static"]
        # Cautious: run a test only if all models that it reads are chosen.
        return ["--select", *chosen, "--exclude", *skipped, "--indirect-selection", "cautious"]


def read_loaded_tables(execute: Execute, streams: Sequence[Stream]) -> LoadedTables:
    """Return the raw tables of the streams that exist in the warehouse."""
    found = execute("select lower(table_schema), lower(table_name) from information_schema.tables", ())
    there = {f"{schema}.{table}" for schema, table in found}
    ours = {name.lower() for stream in streams for name in (stream.raw_table, stream.latest_view)}
    schemas = frozenset({_SCHEMA, *(name.partition(".")[0] for name in ours)})
    return LoadedTables(schemas, frozenset(ours & there) | OWN_TABLES, _stamps(execute, streams, there))


def _stamps(execute: Execute, streams: Sequence[Stream], there: Collection[str]) -> dict[str, Hashable]:
    """Return what identifies the content of each raw table and view of the streams: only loads add rows to it."""
    newest: dict[Any, Any] = dict(
        execute("select stream, max(loaded_at) from raw_ext.load_history group by stream", ())
    )
    # Counting takes no scan. It also shows rows that something else than a load added.
    filled = sorted({each.raw_table for each in streams if each.raw_table.lower() in there})
    counts = " union all ".join(f"select '{name.lower()}', count(*) from {name}" for name in filled)
    rows: dict[Any, Any] = dict(execute(counts, ())) if counts else {}
    found: dict[str, set[Hashable]] = {}
    for each in streams:
        # Several streams may load into one table.
        for name in (each.raw_table.lower(), each.latest_view.lower()):
            found.setdefault(name, set()).add((each.name, newest.get(each.name), rows.get(each.raw_table.lower())))
    return {name: frozenset(stamps) for name, stamps in found.items()}


def select(manifest: Mapping[str, Any], tables: LoadedTables) -> Selection:
    """Return what can be built.

    Without a missing table it is the whole project. Otherwise it is what the loaded tables lead to, with its parents.

    Args:
        manifest: dbt's manifest.json.
    """
    raw = {name: source_table(source) for name, source in manifest["sources"].items()}
    raw = {name: table for name, table in raw.items() if table.partition(".")[0] in tables.schemas}
    children, parents = manifest["child_map"], manifest["parent_map"]
    missing = {name: table for name, table in raw.items() if table not in tables.loaded and children.get(name)}
    lacks: dict[str, list[str]] = {}
    for name, table in missing.items():
        for node in _reachable([name], children):
            lacks.setdefault(node, []).append(table)
    chosen = set(manifest["nodes"]) | set(manifest["sources"])
    if missing:
        led_to = _reachable(raw.keys() - missing.keys(), children) - lacks.keys()
        chosen = led_to | _reachable(led_to, parents)
    nodes = {name: node for name, node in manifest["nodes"].items() if node["resource_type"] in _BUILT}
    return Selection(
        built=tuple(sorted(node["name"] for name, node in nodes.items() if name in chosen)),
        sources=tuple(
            sorted(f"{s['source_name']}.{s['name']}" for name, s in manifest["sources"].items() if name in chosen)
        ),
        left_out={
            node["name"]: sorted(lacks.get(name, [])) for name, node in sorted(nodes.items()) if name not in chosen
        },
        missing=tuple(sorted(missing.values())),
    )


def keep_selection(dbt_target: Path, selection: Selection) -> None:
    """Write the selection of a build into dbt's target folder, for what is published after it."""
    (dbt_target / _FILE).write_bytes(orjson.dumps(asdict(selection)))


def read_selection(dbt_target: Path) -> Selection | None:
    """Return the selection of the last build; None if dbt was only run by hand."""
    try:
        found = orjson.loads((dbt_target / _FILE).read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    return Selection(tuple(found["built"]), tuple(found["sources"]), found["left_out"], tuple(found["missing"]))


def source_table(source: Mapping[str, Any]) -> str:
    """Return the table of a source in dbt's manifest, as `schema.table` in lower case."""
    return f"{source['schema']}.{source['identifier']}".lower()


def _reachable(begin: Iterable[str], edges: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the nodes that can be reached, with those at which it begins."""
    found: set[str] = set()
    ahead = list(begin)
    while ahead:
        node = ahead.pop()
        if node not in found:
            found.add(node)
            ahead.extend(edges.get(node, ()))
    return found
