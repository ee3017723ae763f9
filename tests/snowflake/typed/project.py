"""Check the models and data tests of a dbt project as compiled for Snowflake, each after those that it reads."""

from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any

from tests.snowflake.typed.relations import Relations, faults_of_contract
from tests.snowflake.typed.words import faults_of_words

_KINDS = ("model", "seed", "test")


def faults_of_project(manifest: Mapping[str, Any], relations: Relations) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the faults of each compiled model and test.

    Args:
        manifest: dbt's manifest.json after a build.
        relations: has the sources' tables and those of incremental models without a contract. The others are added.
    """
    nodes = {unique_id: node for unique_id, node in manifest["nodes"].items() if node["resource_type"] in _KINDS}
    depends = {
        unique_id: nodes.keys() & set(node.get("depends_on", {}).get("nodes", ())) for unique_id, node in nodes.items()
    }
    for unique_id in TopologicalSorter(depends).static_order():
        node = nodes[unique_id]
        relation = (node["relation_name"] or "").split(".", 1)[-1]
        contract = {name: column["data_type"] for name, column in node["columns"].items() if column["data_type"]}
        if node["resource_type"] == "seed":
            relations.add(relation, node["config"]["column_types"])
        elif node.get("compiled_code"):
            if contract:
                # An incremental model reads its own table.
                relations.add(relation, contract)
            found, faults = relations.check(node["name"], node["compiled_code"])
            if contract:
                faults += faults_of_contract(node["name"], found, contract)
            elif node["resource_type"] == "model" and not relations.has(relation):
                relations.add(relation, found)
            yield node["name"], faults + faults_of_words(node["name"], node["compiled_code"])
