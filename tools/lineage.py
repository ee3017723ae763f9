"""Draw the lineage of the dbt project from dbt's manifest into docs/images/lineage.svg (`make lineage`).

Each layer is a column, from the sources on the left to the dashboard on the right. The SVG names its nodes and arrows,
so that a test can compare it with the project.
"""

import json
import re
import sys
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.sax.saxutils import escape

from tools.project import run_dbt

LAYERS = ("sources", "base", "staging", "intermediate", "marts", "exposures")

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN, TITLE = 244, 24, 56, 10, 16, 34

STYLE = """
text { font: 11.5px ui-sans-serif, system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; fill: #59636e }
rect { fill: #ffffff; stroke-width: 1.25 }
path { fill: none; stroke: #818b98; stroke-opacity: 0.6 }
.sources rect { stroke: #1a7f37 } .base rect, .staging rect { stroke: #0969da }
.intermediate rect { stroke: #8250df } .marts rect { stroke: #bc4c00 } .exposures rect { stroke: #cf222e }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .title { fill: #9198a1 } rect { fill: #151b23 } path { stroke: #9198a1 }
}
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


def read_drawn(picture: str) -> Graph:
    """Return the graph of a drawn picture."""
    graph: Graph = {name: set() for name in re.findall(r'data-node="([^"]+)"', picture)}
    for parent, child in re.findall(r'data-edge="([^ "]+) ([^ "]+)"', picture):
        graph[child].add(parent)
    return graph


def draw(graph: Graph, layers: dict[str, str]) -> str:
    """Return the picture as SVG."""
    stops = _stops(graph, layers)
    columns = _arrange(graph, layers, stops)
    tallest = max(len(column) for column in columns)
    height = TITLE + tallest * (HEIGHT + GAP_Y) + MARGIN
    width = 2 * MARGIN + len(columns) * WIDTH + (len(columns) - 1) * GAP_X
    places = {}
    for number, column in enumerate(columns):
        top = TITLE + (tallest - len(column)) * (HEIGHT + GAP_Y) / 2
        for row, name in enumerate(column):
            places[name] = (MARGIN + number * (WIDTH + GAP_X), top + row * (HEIGHT + GAP_Y))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" role="img">',
        "<title>The lineage of the models, from the sources to the dashboard</title>",
        f"<style>{STYLE}</style>",
    ]
    parts += [_edge(parent, child, places, between) for (parent, child), between in stops.items()]
    for number, layer in enumerate(LAYERS):
        parts.append(f'<text class="title" x="{MARGIN + number * (WIDTH + GAP_X)}" y="20">{layer}</text>')
    for name in graph:
        x, y = places[name]
        parts.append(
            f'<g class="{layers[name]}" data-node="{name}"><rect x="{x}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}"'
            f' rx="5"/><text x="{x + 8}" y="{y + 16:g}">{escape(name)}</text></g>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _name(node: dict[str, Any]) -> str:
    return f"{node['source_name']}.{node['name']}" if node["resource_type"] == "source" else str(node["name"])


def _layer(node: dict[str, Any]) -> str:
    if node["resource_type"] in ("source", "seed"):
        return "sources"
    if node["resource_type"] == "exposure":
        return "exposures"
    return "base" if "base" in node["fqn"] else str(node["fqn"][1])


def _stops(graph: Graph, layers: dict[str, str]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Return, for each arrow, a free position in each column between its ends, so that no box hides it."""
    found = {}
    for child in sorted(graph):
        for parent in sorted(graph[child]):
            between = LAYERS[LAYERS.index(layers[parent]) + 1 : LAYERS.index(layers[child])]
            found[parent, child] = [(f"{parent} {child} {layer}", layer) for layer in between]
    return found


def _arrange(
    graph: Graph, layers: dict[str, str], stops: dict[tuple[str, str], list[tuple[str, str]]]
) -> list[list[str]]:
    """Sort nodes and stops in each column repeatedly by the mean position of their neighbours."""
    placed = layers | {stop: layer for between in stops.values() for stop, layer in between}
    columns = [sorted(name for name in placed if placed[name] == layer) for layer in LAYERS]
    joined: Graph = {name: set() for name in placed}
    for (parent, child), between in stops.items():
        chain = [parent, *(stop for stop, _ in between), child]
        for one, other in pairwise(chain):
            joined[one].add(other)
            joined[other].add(one)
    for _ in range(24):
        for column in columns:
            rows = {name: row / len(those) for those in columns for row, name in enumerate(those)}
            middles = {
                name: sum(rows[other] for other in joined[name]) / len(joined[name]) if joined[name] else 1.0
                for name in column
            }
            column.sort(key=lambda name, middles=middles: (middles[name], name))  # type: ignore[misc]
    return columns


def _edge(parent: str, child: str, places: dict[str, tuple[float, float]], between: list[tuple[str, str]]) -> str:
    bend, half = GAP_X * 0.6, HEIGHT / 2
    x, y = places[parent]
    line = f"M {x + WIDTH:g} {y + half:g}"
    for stop in [*(name for name, _ in between), child]:
        next_x, next_y = places[stop]
        # Within a column, draw the arrow around the right side.
        end, turn = (next_x, -bend) if next_x > x else (next_x + WIDTH, bend)
        line += f" C {x + WIDTH + bend:g} {y + half:g}, {end + turn:g} {next_y + half:g}, {end:g} {next_y + half:g}"
        if stop != child:
            line += f" H {next_x + WIDTH:g}"
        x, y = next_x, next_y
    return f'<path data-edge="{parent} {child}" d="{line}"/>'


def main() -> None:
    project, picture = map(Path, sys.argv[1:])
    with TemporaryDirectory() as target:
        run_dbt(project, Path(target), "parse")
        manifest = json.loads((Path(target) / "manifest.json").read_text(encoding="utf-8"))
    picture.write_text(draw(*read_graph(manifest)), encoding="utf-8")


if __name__ == "__main__":
    main()
