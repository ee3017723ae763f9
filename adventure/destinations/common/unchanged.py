"""Which nodes an increment can leave out: those that read only streams to which nothing was loaded since the last one.

What the last build of this process read is kept in memory. Another process does not know it, nor does this one after a
failed build: they build the whole increment.
"""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from adventure.destinations.common.selection import OWN_TABLES, LoadedTables, source_table

_TAG = "adventure_changed"
CHANGED = ("--select", f"tag:{_TAG}", "--indirect-selection", "empty")
"""dbt's arguments that choose the nodes of `mark`."""


@dataclass(frozen=True)
class LastBuild:
    """The last build of this process, which succeeded."""

    made_from: Hashable
    """What the project was parsed from: another project, warehouse or environment is another build."""
    stamps: Mapping[str, Hashable]
    """What identified the content of each raw table."""
    increment: frozenset[str]
    """dbt's ids of all that an increment builds and tests; empty if no whole increment has run yet."""


_last: LastBuild | None = None


def forget() -> None:
    """Forget the last build: the next increment builds everything that an increment may change."""
    global _last
    _last = None


def remember(made_from: Hashable, tables: LoadedTables, increment: Collection[str]) -> None:
    """Keep what a successful build read.

    Args:
        increment: the nodes of an increment; none where they are not known.
    """
    global _last
    _last = LastBuild(made_from, tables.stamps, frozenset(increment))


def last_build(made_from: Hashable) -> LastBuild | None:
    """Return the last build of this process if it was of the same project and warehouse."""
    return _last if _last and _last.made_from == made_from else None


def changed_nodes(manifest: Mapping[str, Any], last: LastBuild, tables: LoadedTables) -> list[str]:
    """Return the nodes of an increment that may have another result than in the last build.

    A node is left out only if all sources that it reads are raw tables of streams to which nothing was loaded. Models
    with the tag `static` are not looked through, since no increment builds them.

    Args:
        manifest: dbt's manifest.json.
    """
    unchanged = {table for table, stamp in tables.stamps.items() if last.stamps.get(table) == stamp} - OWN_TABLES
    parents, sources, nodes = manifest["parent_map"], manifest["sources"], manifest["nodes"]

    @cache
    def reads_news(name: str) -> bool:
        if name in sources:
            return source_table(sources[name]) not in unchanged
        if "static" in nodes.get(name, {}).get("tags", ()):
            return False
        return any(reads_news(parent) for parent in parents.get(name, ()))

    return sorted(name for name in last.increment if name in nodes and reads_news(name))


def mark(manifest: Any, changed: Collection[str]) -> None:
    """Give these nodes a tag, by which `CHANGED` chooses exactly them.

    With a criterion for each name, dbt compares every node with every name, which takes a tenth of a build. The name of
    a model would also choose its unit tests.

    Args:
        manifest: dbt's manifest, as dbt's classes.
    """
    for name in changed:
        manifest.nodes[name].tags.append(_TAG)
