from pathlib import Path
from typing import Any

import pytest

from adventure.demo.sandbox import Sandbox
from adventure.demo.sandbox.databases import Databases
from adventure.destinations.duckdb.warehouse import DuckDBWarehouse
from tests.runbook.shop import PIPELINE, TABLE, Shop

BUILD = DuckDBWarehouse.build


def _build(warehouse: DuckDBWarehouse, *args: Any, **options: Any) -> Any:
    """Build where the case has a dbt project; the others are about something else."""
    return BUILD(warehouse, *args, **options) if Path("dbt").exists() else "no dbt project"


@pytest.fixture
def shop(
    databases: Databases,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Shop:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(DuckDBWarehouse, "build", _build)
    monkeypatch.setattr(DuckDBWarehouse, "publish", lambda *_, **__: 0)
    (tmp_path / "pipeline.toml").write_text(PIPELINE)
    environment = databases.reader_env | {"DATA_DIR": "data", "COLUMNS": "300"}
    made = Shop(tmp_path, environment, sandbox.postgres.dsn(databases.reader_env["POSTGRES_DB"]), capfd)
    made.execute(TABLE)
    return made
