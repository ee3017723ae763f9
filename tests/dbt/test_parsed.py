"""A process parses a dbt project once, and again when something changes that it was parsed from."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from adventure.core.environment import load_settings
from adventure.core.settings import Settings
from adventure.destinations.common import build
from adventure.destinations.common.selection import LoadedTables

PROJECT = """
name: small
profile: adventure
models: {small: {part: {+materialized: ephemeral}, whole: {+materialized: table}}}
"""
PROFILE = """
adventure:
  outputs:
    duckdb: {type: duckdb, path: "{{ env_var('ADVENTURE_DUCKDB_PATH') }}", schema: made, threads: 1}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A project of two models, one of them a part of the other's statement."""
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(PROJECT)
    (folder / "profiles.yml").write_text(PROFILE)
    (folder / "models" / "part.sql").write_text("select 1 as number, '{{ env_var('API_URL', 'none') }}' as address")
    (folder / "models" / "whole.sql").write_text("select * from {{ ref('part') }}")
    return load_settings(data_dir=tmp_path / "data", dbt_dir=folder)


@pytest.fixture
def parses(commands: list[str]) -> Callable[[], int]:
    """Return how often a project was parsed."""
    return lambda: commands.count("parse")


def built(settings: Settings) -> list[tuple[int, str]]:
    """Build the project and return the rows of its table."""
    path = settings.data_dir / "small.duckdb"
    environment = {"ADVENTURE_DUCKDB_PATH": str(path)}
    tables = LoadedTables(frozenset(), frozenset())
    build.run_dbt_build(settings, "whole", tables, target="duckdb", environment=environment)
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
    with duckdb.connect(str(path)) as connection:
        return connection.execute("select * from made.whole").fetchall()


@pytest.mark.slow
def test_it_is_parsed_again_only_after_a_change(
    settings: Settings, parses: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert built(settings) == [(1, "none")]
    assert built(settings) == [(1, "none")], "the second build runs from the manifest of the first"
    assert parses() == 1
    model = settings.dbt_dir / "models" / "part.sql"
    model.write_text(model.read_text().replace("select 1", "select 2"))
    assert built(settings) == [(2, "none")]
    assert parses() == 2
    monkeypatch.setenv("API_URL", "http://shop")
    assert built(settings) == [(2, "http://shop")]
    assert parses() == 3
    (settings.data_dir / "dbt" / "target" / "manifest.json").unlink()
    assert built(settings) == [(2, "http://shop")]
    assert parses() == 4
    assert built(settings.model_copy(update={"dbt_dir": settings.dbt_dir / ".." / "project"})) == [(2, "http://shop")]
    assert parses() == 4, "it is the same folder"
