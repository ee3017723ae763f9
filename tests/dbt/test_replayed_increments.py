"""Increments that are replayed without dbt give the tables of a full refresh, whatever arrives in whatever order.

As `test_increments`, but through the warehouse's own builds in one process. The project has no data tests here: rows
that fail one would let dbt build every time.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from adventure.core.environment import load_settings
from adventure.core.pipeline_file import load_streams
from adventure.destinations.common import dbt_command, unchanged
from adventure.destinations.common.selection import read_loaded_tables
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse as Warehouse
from adventure.destinations.warehouse import Scope
from tests.dbt.conftest import DBT, Project, Row, chat, line, order
from tests.dbt.test_increments import chats, lines, orders, tables

# Often nothing arrives in a stream, so that increments build different parts of the project.
loads = st.fixed_dictionaries(
    {
        "orders": st.lists(orders, max_size=6),
        "lines": st.lists(lines, max_size=8),
        "chats": st.just([]) | st.lists(chats, max_size=3),
    }
)
SEVERAL = {"orders": [order("a")], "lines": [line("a1", "a")], "chats": [chat("a")]}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Warehouse, Path]]:
    """A warehouse in which every model was built on empty tables, and a copy of its file.

    All examples use the same file, since dbt parses the project again for another one.
    """
    folder = tmp_path_factory.mktemp("replayed")
    shutil.copytree(DBT, folder / "dbt")
    settings_file = folder / "dbt" / "dbt_project.yml"
    text = settings_file.read_text()
    assert "    +store_failures: true" in text
    settings_file.write_text(text.replace("    +store_failures: true", "    +enabled: false"))
    unchanged.forget()
    warehouse = Warehouse(load_settings(data_dir=folder / "data", dbt_dir=folder / "dbt"))
    build(warehouse, "whole")
    empty = folder / "empty.duckdb"
    shutil.copy(file_of(warehouse), empty)
    yield warehouse, empty
    unchanged.forget()


@pytest.mark.slow
# No shrinking: an example takes several builds.
@hypothesis_settings(
    max_examples=int(os.environ.get("REPLAY_EXAMPLES", "3")),
    phases=[Phase.explicit, Phase.generate],
)
@given(increments=st.lists(loads, min_size=4, max_size=8))
def test_replayed_increments_give_the_tables_of_a_full_refresh(
    built: tuple[Warehouse, Path], monkeypatch: pytest.MonkeyPatch, increments: list[dict[str, list[Row]]]
) -> None:
    warehouse, empty = built
    shutil.copy(empty, file_of(warehouse))
    unchanged.forget()
    warehouse._replay.forget()
    project = Project(file_of(warehouse), warehouse._settings.dbt_dir)
    by_dbt: list[str] = []
    invoke = dbt_command.invoke

    def noting(arguments: list[str], manifest: Any = None) -> Any:
        by_dbt.extend({"build"} & {arguments[0]})
        return invoke(arguments, manifest)

    with monkeypatch.context() as patch:
        patch.setattr(dbt_command, "invoke", noting)
        for _ in range(3):
            project.load(**SEVERAL)
            build(warehouse, "increment")
        assert len(by_dbt) < 3, "dbt has shown two increments"
        for increment in increments:
            project.load(**increment)
            build(warehouse, "increment")
    grown = tables(project)
    # As another process would.
    build(Warehouse(warehouse._settings), "full refresh")
    whole = tables(project)
    assert {name for name in whole if grown[name] != whole[name]} == set()


def build(warehouse: Warehouse, scope: Scope) -> None:
    warehouse.run_dbt(scope, read_loaded_tables(warehouse.execute, load_streams(load_settings())))


def file_of(warehouse: Warehouse) -> Path:
    return warehouse._settings.duckdb_path
