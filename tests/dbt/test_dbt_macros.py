"""Adventure collects the macros of a context as dbt does."""

from typing import Any

import pytest

from adventure.destinations.common.dbt_macros import build_namespace


class Macro:
    """What both need to know of a macro."""

    def __init__(self, package: str, name: str) -> None:
        self.package_name, self.name, self.unique_id = package, name, f"macro.{package}.{name}"


MACROS = [
    Macro(package, name)
    for package, names in {
        "dbt": ("date_trunc", "is_incremental", "only_in_dbt"),
        "dbt_duckdb": ("date_trunc", "only_in_duckdb"),
        "ours": ("is_incremental", "ours_alone", "shared"),
        "theirs": ("shared", "theirs_alone", "only_in_dbt"),
    }.items()
    for name in names
]


def builder(search_package: str) -> Any:
    from dbt.clients.jinja import MacroStack
    from dbt.context.macros import MacroNamespaceBuilder

    stack = MacroStack()  # type: ignore[no-untyped-call]
    return MacroNamespaceBuilder("ours", search_package, stack, ["dbt_duckdb", "dbt"], node=object())


@pytest.mark.parametrize("search_package", ["ours", "theirs", "dbt", "dbt_duckdb", "unknown"])
def test_the_macros_are_those_that_dbt_finds(search_package: str) -> None:
    by_package: dict[str, dict[str, Any]] = {}
    for macro in MACROS:
        by_package.setdefault(macro.package_name, {})[macro.name] = macro
    context: dict[str, Any] = {}
    made_by = builder(search_package)
    theirs = made_by.build_namespace(by_package, context)
    ours = build_namespace(made_by, by_package, context)

    def described(found: Any) -> Any:
        if isinstance(found, dict):
            return {name: described(each) for name, each in found.items()}
        return type(found), {name: id(value) for name, value in vars(found).items()}

    assert described(dict(ours)) == described(dict(theirs))
    assert len(ours) == len(theirs) > len(MACROS) - 4
    for package, name in [(None, "shared"), ("dbt", "date_trunc"), ("theirs", "shared"), (None, "no_such_macro")]:
        found, expected = ours.get_from_package(package, name), theirs.get_from_package(package, name)
        assert (found and described(found)) == (expected and described(expected))
    for part in ("local_namespace", "global_namespace", "global_project_namespace", "packages"):
        assert described(getattr(ours, part)) == described(getattr(theirs, part)), part
