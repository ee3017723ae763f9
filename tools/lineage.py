"""Draw the lineage of the dbt project from dbt's manifest into docs/lineage.md (`make lineage`).

The picture is a Mermaid diagram, which GitHub draws.
"""

import json
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tools.project import run_dbt

LAYERS = ("sources", "base", "staging", "intermediate", "marts", "exposures")

PAGE = """# Lineage

From the sources on the left to the dashboard on the right; [models.md](models.md) describes each model. `make lineage`
draws it from dbt's manifest.

```mermaid
{diagram}
```
"""

Graph = dict[str, set[str]]
"""Node names, each with the names of its parents."""


def read_graph(manifest: dict[str, Any]) -> tuple[Graph, dict[str, str]]:
    """Return the graph of sources, seeds, models and exposures, and each node's layer."""
    found = {**manifest["sources"], **manifest["nodes"], **manifest["exposures"]}
    nodes = {key: node for key, node in found.items() if node["resource_type"] not in ("test", "analysis")}
    names = {key: _name(node) for key, node in nodes.items()}
    graph = {
        names[key]: {names[parent] for parent in node.get("depends_on", {}).get("nodes", []) if parent in names}
        for key, node in nodes.items()
    }
    return graph, {names[key]: _layer(node) for key, node in nodes.items()}


def read_drawn(diagram: str) -> Graph:
    """Return the graph of a drawn diagram."""
    names = dict(re.findall(r'^ +(\w+)\["(.+)"\]$', diagram, re.MULTILINE))
    graph: Graph = {name: set() for name in names.values()}
    for parent, child in re.findall(r"^ +(\w+) --> (\w+)$", diagram, re.MULTILINE):
        graph[names[child]].add(names[parent])
    return graph


def draw(graph: Graph, layers: dict[str, str]) -> str:
    """Return the diagram: a box for each layer, and an arrow from each node to those that read it."""
    lines = ["flowchart LR"]
    for layer in LAYERS:
        members = sorted(name for name in graph if layers[name] == layer)
        lines += [f"  subgraph {layer}", *(f'    {_id(name)}["{name}"]' for name in members), "  end"]
    lines += [f"  {_id(parent)} --> {_id(child)}" for child in sorted(graph) for parent in sorted(graph[child])]
    return "\n".join(lines)


def _id(name: str) -> str:
    return name.replace(".", "__")


def _name(node: dict[str, Any]) -> str:
    return f"{node['source_name']}.{node['name']}" if node["resource_type"] == "source" else str(node["name"])


def _layer(node: dict[str, Any]) -> str:
    if node["resource_type"] in ("source", "seed"):
        return "sources"
    if node["resource_type"] == "exposure":
        return "exposures"
    return "base" if "base" in node["fqn"] else str(node["fqn"][1])


def main() -> None:
    project, page = map(Path, sys.argv[1:])
    with TemporaryDirectory() as target:
        run_dbt(project, Path(target), "parse")
        manifest = json.loads((Path(target) / "manifest.json").read_text(encoding="utf-8"))
    page.write_text(PAGE.format(diagram=draw(*read_graph(manifest))), encoding="utf-8")


if __name__ == "__main__":
    main()
