"""A context that is used again holds what a new one of dbt's would hold."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import BuildFailed
from adventure.core.settings import Settings
from adventure.destinations.common import build
from adventure.destinations.common.dbt_contexts import Contexts
from adventure.destinations.common.selection import LoadedTables

PROJECT = """
name: small
profile: adventure
models: {small: {+materialized: incremental, +unique_key: number, +on_schema_change: fail}}
"""
PROFILE = """
adventure:
  outputs:
    duckdb: {type: duckdb, path: "{{ env_var('ADVENTURE_DUCKDB_PATH') }}", schema: made, threads: 2}
"""
MODEL = """
{{ config(post_hook="insert into {{ this }} values (-1, '{{ model.name }}')") }}
{% set counted = run_query('select count(*) from ' ~ this).columns[0].values()[0] if is_incremental() else 0 %}
select {{ counted }} as number, '{{ this.identifier }}' as made_by
"""
TESTS = """
models:
  - name: first
    columns: [{name: number, data_tests: [unique, {not_null: {config: {where: "number > {{ 1 - 1 }}"}}}]}]
  - name: second
    columns: [{name: number, data_tests: [unique]}]
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A project with incremental models, hooks, and tests with arguments."""
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(PROJECT)
    (folder / "profiles.yml").write_text(PROFILE)
    for name in ("first", "second"):
        (folder / "models" / f"{name}.sql").write_text(MODEL)
    (folder / "models" / "tests.yml").write_text(TESTS)
    return load_settings(data_dir=tmp_path / "data", dbt_dir=folder)


def builds(settings: Settings) -> dict[str, list[Any]]:
    """Build twice, and return the rows of each table. The second run of a hook breaks a test of the first model."""
    path = settings.data_dir / "small.duckdb"
    path.unlink(missing_ok=True)
    environment, tables = {"ADVENTURE_DUCKDB_PATH": str(path)}, LoadedTables(frozenset(), frozenset())
    build.run_dbt_build(settings, "whole", tables, target="duckdb", environment=environment)
    with pytest.raises(BuildFailed, match=r"unique_(first|second)_number failed: Got 1 result"):
        build.run_dbt_build(settings, "whole", tables, target="duckdb", environment=environment)
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
    with duckdb.connect(str(path)) as connection:
        return {
            name: connection.execute(f"select * from made.{name} order by all").fetchall()
            for name in ("first", "second")
        }


@pytest.mark.slow
def test_builds_give_the_rows_that_dbt_gives(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = builds(settings)
    assert ours["first"] == [(-1, "first"), (-1, "first"), (0, "first"), (2, "first")]
    monkeypatch.setattr("adventure.destinations.common.dbt_patches._MADE_FOR", {"dbt-core": "0."})
    assert builds(settings) == ours


def described(found: Any, depth: int = 0) -> Any:
    """Return what can be compared of a value of a context."""
    if isinstance(found, dict) and depth < 4:
        return {
            name: described(value, depth + 1) for name, value in found.items() if name not in ("context", "builtins")
        }
    plain = isinstance(found, str | int | float | bool | None | list | tuple)
    return found if plain else str(type(found))


@pytest.mark.slow
def test_a_context_that_is_used_again_is_like_a_new_one(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from dbt.context.providers import generate_runtime_macro_context, generate_runtime_model_context

    compared: list[str] = []

    def comparing(own: Any, dbts: Any) -> Any:
        def made(self: Contexts, model: Any, config: Any, manifest: Any, *package: Any) -> Any:
            found = own(self, model, config, manifest, *package)
            expected = dbts(model, config, manifest, *package)
            # dbt leaves the arguments of a test in the context in which it is compiled only.
            assert described(found) == described(expected)
            compared.append(model.name)
            return found

        return made

    monkeypatch.setattr(Contexts, "to_run", comparing(Contexts.to_run, generate_runtime_model_context))
    monkeypatch.setattr(Contexts, "of_macro", comparing(Contexts.of_macro, generate_runtime_macro_context))
    builds(settings)
    assert compared.count("first") == 2
    assert compared.count("get_columns_in_relation") > 2
