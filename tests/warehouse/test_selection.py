"""Which models a build contains: those that need no raw table which nothing loads."""

from typing import Any

import pytest

from adventure.destinations.common.selection import LoadedTables, keep_selection, read_selection, select
from adventure.destinations.warehouse import Scope

PARENTS = {
    "model.p.base_orders": ["source.p.raw.orders"],
    "model.p.base_chats": ["source.p.raw.chats"],
    "model.p.fct_chats": ["model.p.base_chats", "model.p.dim_products"],
    "model.p.fct_orders": ["model.p.base_orders", "model.p.dim_products", "seed.p.methods"],
    "model.p.dim_products": ["source.p.shop.products"],
    "model.p.campaigns": ["source.p.shop.events"],
    "model.p.both": ["model.p.fct_orders", "model.p.fct_chats"],
    "seed.p.methods": [],
    "test.p.not_null_orders": ["model.p.base_orders"],
}
"""The live tables are in raw_ext. The shop's history is in another schema, which no stream loads."""
EVERY_MODEL = {name.rpartition(".")[2] for name in PARENTS if not name.startswith("test")}


def manifest() -> dict[str, Any]:
    sources = {parent for parents in PARENTS.values() for parent in parents if parent.startswith("source")}
    return {
        "nodes": {name: {"name": name.rpartition(".")[2], "resource_type": name.partition(".")[0]} for name in PARENTS},
        "sources": {
            name: {
                "source_name": name.split(".")[2],
                "name": name.split(".")[3],
                "schema": "RAW_EXT" if ".raw." in name else "shop",
                "identifier": f"{name.split('.')[3]}_raw",
            }
            for name in sources
        },
        "parent_map": PARENTS,
        "child_map": {
            parent: [child for child, parents in PARENTS.items() if parent in parents]
            for parent in sources | set(PARENTS)
        },
    }


def tables(*loaded: str) -> LoadedTables:
    return LoadedTables(frozenset({"raw_ext"}), frozenset(loaded))


@pytest.mark.parametrize(
    ("loaded", "built"),
    [
        (["raw_ext.orders_raw", "raw_ext.chats_raw"], EVERY_MODEL),
        (["raw_ext.orders_raw"], {"base_orders", "fct_orders", "dim_products", "methods"}),
        (["raw_ext.chats_raw"], {"base_chats", "fct_chats", "dim_products"}),
        (["raw_ext.film_raw"], set()),
    ],
)
def test_models_of_tables_that_nothing_loads_are_left_out(loaded: list[str], built: set[str]) -> None:
    found = select(manifest(), tables(*loaded))
    assert set(found.built) == built
    assert set(found.left_out) == EVERY_MODEL - built
    assert set(found.missing) == {"raw_ext.orders_raw", "raw_ext.chats_raw"} - set(loaded)


def test_a_model_that_is_left_out_names_the_tables_that_it_lacks() -> None:
    left_out = select(manifest(), tables("raw_ext.orders_raw")).left_out
    assert left_out["both"] == ["raw_ext.chats_raw"]
    assert left_out["campaigns"] == []


@pytest.mark.parametrize(
    ("loaded", "has_selectors", "scope", "expected"),
    [
        (["raw_ext.orders_raw", "raw_ext.chats_raw"], True, "full refresh", "--selector whole"),
        (["raw_ext.orders_raw", "raw_ext.chats_raw"], True, "increment", "--selector increment"),
        (
            ["raw_ext.orders_raw", "raw_ext.chats_raw"],
            False,
            "increment",
            "--select fqn:* --exclude test_type:unit config.materialized:view tag:static --indirect-selection cautious",
        ),
        (
            ["raw_ext.chats_raw"],
            True,
            "whole",
            "--select fqn:*.base_chats fqn:*.dim_products fqn:*.fct_chats source:raw.chats source:shop.products --exclude test_type:unit"
            " --indirect-selection cautious",
        ),
    ],
)
def test_the_arguments_for_dbt(loaded: list[str], has_selectors: bool, scope: Scope, expected: str) -> None:
    selection = select(manifest(), tables(*loaded))
    assert " ".join(selection.arguments(scope, has_selectors=has_selectors)) == expected


def test_the_selection_of_the_last_build_is_kept(tmp_path: Any) -> None:
    assert read_selection(tmp_path) is None
    selection = select(manifest(), tables("raw_ext.orders_raw"))
    keep_selection(tmp_path, selection)
    assert read_selection(tmp_path) == selection
