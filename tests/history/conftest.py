"""One synthesised history for all tests that only read it."""

import pytest

from adventure.core.environment import load_settings
from adventure.core.settings import Settings
from adventure.demo.history import create
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = load_settings(data_dir=tmp_path_factory.mktemp("history"))
    DuckDBWarehouse(made)
    create(made)
    return made
