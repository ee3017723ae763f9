"""What a build has to do: as little as new sales ask for, as much as anything else that changed."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from adventure.core.environment import load_settings
from adventure.core.errors import ConfigError
from adventure.core.pipeline_file import load_streams
from adventure.destinations.common.build import fingerprint
from adventure.destinations.common.builds import needed_scope, read_history_stamp, record_build
from adventure.destinations.duckdb.connection import executing
from adventure.destinations.warehouse import SCOPES
from adventure.factory import open_warehouse

BUILT = datetime(2026, 3, 1, 12)
LOADED = datetime(2026, 2, 1)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    settings = load_settings(data_dir=tmp_path)
    open_warehouse(settings).create_tables()
    with duckdb.connect(str(settings.duckdb_path)) as opened:
        opened.execute("insert into adventure_db.vendor_prod_db (vendorid, _loaded_at) values (1, ?)", [LOADED])
        yield opened


def test_the_first_build_is_whole(connection: duckdb.DuckDBPyConnection) -> None:
    assert needed_scope(executing(connection), "project", today=BUILT.date()) == "whole"


@pytest.mark.parametrize(
    ("project", "today", "scope"),
    [
        ("project", BUILT.date(), "increment"),
        ("another", BUILT.date(), "whole"),
        ("project", BUILT.date() + timedelta(days=1), "whole"),
    ],
)
def test_a_changed_project_and_a_new_day_ask_for_a_whole_build(
    connection: duckdb.DuckDBPyConnection, project: str, today: date, scope: str
) -> None:
    record_build(executing(connection), BUILT, "project", read_history_stamp(executing(connection)))
    assert needed_scope(executing(connection), project, today=today) == scope


@pytest.mark.parametrize("statement", ["update {} set _loaded_at = _loaded_at + interval 1 day", "delete from {}"])
def test_another_history_asks_for_a_full_refresh(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    record_build(executing(connection), BUILT - timedelta(days=1), "project", None)
    record_build(executing(connection), BUILT, "project", read_history_stamp(executing(connection)))
    assert needed_scope(executing(connection), "project", today=BUILT.date()) == "increment"
    connection.execute(statement.format("adventure_db.vendor_prod_db"))
    assert needed_scope(executing(connection), "project", today=BUILT.date()) == "full refresh"


def test_each_scope_holds_the_one_before_it() -> None:
    assert SCOPES == ("increment", "whole", "full refresh")


def test_the_fingerprint_is_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "dbt_project.yml").write_text("name: a")
    settings = load_settings(data_dir=tmp_path / "data", dbt_dir=tmp_path)
    seen = [fingerprint(settings)]
    (tmp_path / "models" / "a.sql").write_text("select 1")
    seen.append(fingerprint(settings))
    (tmp_path / "models" / "a.sql").rename(tmp_path / "models" / "b.sql")
    seen.append(fingerprint(settings))
    assert len(set(seen)) == 3
    (tmp_path / "models" / "b.sql").unlink()
    assert fingerprint(settings) == seen[0]


def test_a_python_that_dbt_does_not_run_on_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.version_info", (3, 14, 2))
    settings = load_settings(data_dir=tmp_path)
    warehouse = open_warehouse(settings)
    warehouse.create_tables()
    with pytest.raises(ConfigError, match=r"3\.14, and nothing was built\. Run builds with a Python below 3\.14"):
        warehouse.build(load_streams(settings))
